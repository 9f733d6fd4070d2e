"""
What an encrypted column can be asked, and why it cannot be asked the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    ColumnClause,
    ColumnElement,
    LargeBinary,
    all_,
    and_,
    any_,
    false,
    func,
    not_,
    or_,
    true,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ClauseElement, Null
from sqlalchemy.sql.lambdas import PyWrapper
from sqlalchemy.sql.selectable import ScalarSelect, SelectBase
from sqlalchemy.types import TypeEngine, UserDefinedType

from pgultra.errors import EncryptionError
from pgultra.features.encryption.format import tag_expression
from pgultra.features.encryption.parameters import TagsOf

if TYPE_CHECKING:
    from pgultra.features.encryption.search import Search

__all__ = ["Comparator", "blind_index"]

_NULLS = (operators.is_, operators.is_not)
_PLAIN = {
    operators.eq: operators.eq,
    operators.ne: operators.ne,
    operators.is_distinct_from: operators.is_distinct_from,
    operators.is_not_distinct_from: operators.is_not_distinct_from,
}
_NEGATED = {operators.eq: operators.ne, operators.ne: operators.eq}
_TRUTH = Boolean()
_SAME = {
    operators.eq: operators.eq,
    operators.ne: operators.eq,
    operators.in_op: operators.in_op,
    operators.not_in_op: operators.in_op,
}
_LISTS = (operators.in_op, operators.not_in_op)
_REASONS: dict[Any, str] = {
    operators.like_op: "a ciphertext has no pattern",
    operators.ilike_op: "a ciphertext has no pattern",
    operators.desc_op: "ciphertexts sort at random",
    operators.asc_op: "ciphertexts sort at random",
    operators.lt: "ciphertexts have no order",
    operators.gt: "ciphertexts have no order",
    operators.le: "ciphertexts have no order",
    operators.ge: "ciphertexts have no order",
    operators.between_op: "ciphertexts have no order",
    operators.startswith_op: "a ciphertext has no prefix; declare search=Prefix(n) and use find()",
    operators.distinct_op: "equal values have different ciphertexts",
}


class Comparator(UserDefinedType.Comparator[Any]):
    """
    ``==``, ``!=``, ``in_`` and ``IS NULL``; everything else raises with the reason.
    """

    def operate(self, op: Any, *other: Any, **options: Any) -> ColumnElement[Any]:
        """
        Build the expression over the blind index.
        """
        of = _encrypted(self.type)
        value = _element(other[0]) if other else None
        if _asks_for_null(op, other):
            return _is_null(self.expr, op)
        if op in (operators.eq, operators.ne) and isinstance(value, ColumnClause):
            return _of_columns(of, self.expr, op, value)
        if op in _PLAIN or op in _LISTS:
            return _compared(of, _exact(of), self.expr, op, value)
        if op is operators.json_getitem_op or op is operators.getitem:
            raise _unable(of, op, "the document is opened in Python only")
        raise _unable(of, op, _REASONS.get(op, "the database sees a ciphertext"))

    def reverse_operate(self, op: Any, other: Any, **options: Any) -> ColumnElement[Any]:
        """
        The column on the right.
        """
        if op in _PLAIN:
            return self.operate(op, other, **options)
        raise _unable(_encrypted(self.type), op, "the database sees a ciphertext")


class Closed(TypeEngine.Comparator[Any]):
    """
    ``IS NULL`` alone, for what another tool encrypted: equal values have different ciphertexts.
    """

    def operate(self, op: Any, *other: Any, **options: Any) -> ColumnElement[Any]:
        """
        Whether there is a value; all else raises.
        """
        if _asks_for_null(op, other):
            return _is_null(self.expr, op)
        error = _closed(self, op)
        value = _element(other[0]) if other else None
        if op in (operators.eq, operators.ne) and isinstance(value, ColumnClause):
            return _refused(error, self.expr, op, value)
        raise error

    def reverse_operate(self, op: Any, other: Any, **options: Any) -> ColumnElement[Any]:
        """
        The column on the right.
        """
        raise _closed(self, op)


def _closed(asked: Closed, op: Any) -> EncryptionError:
    place = ".".join(
        str(part)
        for part in (getattr(asked.expr, "table", None), getattr(asked.expr, "name", None))
        if part is not None
    )
    return EncryptionError(
        f"{place or 'a column'} of type {type(asked.type).__name__} cannot be asked for "
        f"{_word(op)}: each value is encrypted anew, and none would ever be found; adopt() it into "
        "a column of type Encrypted(..., search=Equality()) and ask that, or compare in Python"
    )


def _asks_for_null(op: Any, other: tuple[Any, ...]) -> bool:
    null = len(other) == 1 and (other[0] is None or isinstance(other[0], Null))
    return null and op in (operators.eq, operators.ne, *_NULLS)


def _is_null(expression: Any, op: Any) -> ColumnElement[bool]:
    stored = type_coerce(expression, LargeBinary)
    return stored.is_(None) if op in (operators.eq, operators.is_) else stored.is_not(None)


def _element(value: Any) -> Any:
    """
    What a mapped attribute stands for.
    """
    return value.__clause_element__() if hasattr(value, "__clause_element__") else value


def blind_index(column: Any) -> ColumnElement[bytes]:  # a column or mapped attribute
    """
    The tag of a column's values: to group by, count or join what cannot be read.

    Tells which rows hold equal values, and nothing of what they are.

    Raises:
        EncryptionError: the column has no index of whole tags.

    Example::

        select(func.count(blind_index(Person.email).distinct()))
    """
    element = _element(column)
    of = _encrypted(element.type)
    return tag_expression(element, _exact(of).keys[0])


def candidates(column: Any, value: Any, key: int | None = None) -> ColumnElement[bool]:
    """
    Rows whose tag is that of a value: the right ones, and perhaps some more.
    """
    element = _element(column)
    of = _encrypted(element.type)
    search = of.search
    if search is None:
        raise _unable(of, None, "it has no index; declare search=Equality() or Prefix(n)")
    return or_(
        *(
            tag_expression(element, each, search.size)
            == BindParameter(None, value, type_=of.tag_type((each,)), unique=True)
            for each in search.keys
        )
    )


def is_encrypted(type_: object) -> bool:
    """
    Whether a type is ours, without importing it.
    """
    return getattr(type_, "seals", False) is True


def _encrypted(type_: TypeEngine[Any]) -> Any:  # Encrypted, which imports this module
    if not is_encrypted(type_):
        raise EncryptionError(f"{type_!r} is not the type of an encrypted column")
    return type_


def _unable(of: Any, op: Any, reason: str) -> EncryptionError:
    return EncryptionError(f"{of.described} cannot be asked for {_word(op)}: {reason}")


def _word(op: Any) -> str:
    return getattr(op, "__name__", "").removesuffix("_op") or "search"


def _exact(of: Any) -> Search:
    search: Search | None = of.search
    if search is None:
        raise EncryptionError(
            f"{of.described} cannot be compared: equal values have different ciphertexts; "
            "declare search=Equality()"
        )
    if not search.exact:
        raise EncryptionError(
            f"{of.described} cannot be compared: its index also finds unequal values; "
            "use find(), which filters them after decryption"
        )
    return search


def _compared(of: Any, search: Search, left: Any, op: Any, other: Any) -> ColumnElement[Any]:
    if isinstance(other, SelectBase | ScalarSelect):
        raise EncryptionError(
            f"{of.described} cannot be compared with a query; "
            "use blind_index(column).in_(select(blind_index(other_column)))"
        )
    _insist_on_value(of, other)
    positive = op in (operators.eq, operators.in_op)
    if op in _LISTS and not isinstance(other, BindParameter):
        other = _listed(of, other)
        if any(map(_is_sql, other)):
            one, both = (operators.eq, or_) if positive else (operators.ne, and_)
            return both(*(_compared(of, search, left, one, each) for each in other))
    parameter = _parameter(of, search.keys, op, other)

    def by_key(op: Any, key: int) -> ColumnElement[Any]:
        tag = tag_expression(left, key)
        if parameter is not None:
            return _matched(tag, op, parameter)
        compared: ColumnElement[Any] = op(tag, _right(of, other, key))
        return compared

    if len(search.keys) == 1:
        return by_key(op, search.keys[0])
    if op not in _SAME:
        raise _unable(of, op, "not while its index is re-keyed")
    found = [by_key(_SAME[op], key) for key in search.keys]
    # A row has the old tag, or the new one, or both; a tag that it has not is NULL. The OR is
    # what indexes serve, and the first tag that is there says false where OR would say NULL.
    first = func.coalesce(*found)
    return and_(or_(*found), first) if positive else not_(first)


def _is_sql(other: Any) -> bool:
    return isinstance(other, ClauseElement) or hasattr(other, "__clause_element__")


def _listed(of: Any, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise EncryptionError(
            f"{of.described}: in_ takes a list of values, not {type(values).__name__}"
        )
    found = list(values)
    for each in found:
        _insist_on_value(of, each)
    return found


def _insist_on_value(of: Any, value: Any) -> None:
    """
    A variable of a lambda statement is put in later, as a parameter of its own plain type.
    """
    if isinstance(value, PyWrapper):
        raise EncryptionError(
            f"{of.described} cannot be compared with a variable in a lambda, whose value "
            "SQLAlchemy would send unsealed: write the statement, or the loader criteria, without "
            "lambda, or bindparam(name) in the lambda and give its value with the statement"
        )


def _parameter(of: Any, keys: tuple[int, ...], op: Any, other: Any) -> BindParameter[Any] | None:
    """
    The parameter that holds what is asked for, as tags; None where other SQL is asked for.
    """
    type_ = of.tag_type(keys, op in _LISTS)
    if isinstance(other, BindParameter):
        twin: BindParameter[Any] = other._clone(maintain_key=True)
        twin.type, twin.expanding = type_, False
        return twin
    if _is_sql(other):
        return None
    return BindParameter(None, other, type_=type_, unique=True)


def _matched(tag: Any, op: Any, parameter: BindParameter[Any]) -> ColumnElement[Any]:
    """
    ``tag = parameter`` or ``tag = ANY(parameter)``.

    Made by hand: this is most lookups, and SQLAlchemy's way is as long again as the rest.
    """
    if isinstance(parameter.type, TagsOf):
        if op in (operators.eq, operators.in_op):
            return BinaryExpression(tag, any_(parameter), operators.eq, _TRUTH)
        return BinaryExpression(tag, all_(parameter), operators.ne, _TRUTH)
    if op in _NEGATED:
        return BinaryExpression(tag, parameter, op, _TRUTH, negate=_NEGATED[op])
    compared: ColumnElement[Any] = op(tag, parameter)
    return compared


class Refused(ColumnElement[bool]):
    """
    A comparison of two columns that cannot be made, which raises when it is compiled.

    Not at once: SQLAlchemy compares columns with ``==`` to look them up.
    """

    inherit_cache = False

    def __init__(self, error: EncryptionError) -> None:
        self.error = error


@compiles(Refused)
def _compile_refused(element: Refused, compiler: object, **_options: Any) -> str:
    raise element.error


def _of_columns(of: Any, left: Any, op: Any, other: Any) -> ColumnElement[Any]:
    """
    A comparison whose truth in Python is "the same column", as SQLAlchemy's own is.
    """
    try:
        expression = _compared(of, _exact(of), left, op, other)
        if isinstance(expression, BinaryExpression):
            expression._orig = (hash(left), hash(other))
            return expression
    except EncryptionError as error:
        return _refused(error.with_traceback(None), left, op, other)
    # two index keys: (… OR …) = true
    constant = true() if op is operators.eq else false()
    expression = BinaryExpression(expression.self_group(), constant, op)
    expression._orig = (hash(left), hash(other))
    return expression


def _refused(error: EncryptionError, left: Any, op: Any, other: Any) -> ColumnElement[Any]:
    expression: BinaryExpression[Any] = BinaryExpression(Refused(error), Refused(error), op)
    expression._orig = (hash(left), hash(other))
    return expression


def _right(of: Any, other: Any, key: int) -> Any:
    other = _element(other)
    return tag_expression(other, key) if _joinable(of, other) else other


def _joinable(of: Any, other: Any) -> bool:
    theirs = getattr(other, "type", None)
    if not is_encrypted(theirs):
        raise EncryptionError(
            f"{of.described} can be compared with values and with encrypted columns of its "
            "domain, not with other SQL expressions: the database would have to know the key"
        )
    assert theirs is not None
    mine = (of.domain, of.search.form, of.search.keys, of.keys)
    search = _exact(theirs)
    if mine != (theirs.domain, search.form, search.keys, theirs.keys):
        raise EncryptionError(
            f"{of.described} and {theirs.described} cannot be joined: give both the same ring and "
            "search=Equality(domain=..., normalize=..., keys=...)"
        )
    return True
