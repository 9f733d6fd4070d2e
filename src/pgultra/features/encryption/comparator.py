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
        null = len(other) == 1 and (other[0] is None or isinstance(other[0], Null))
        if null and op in (operators.eq, operators.ne, *_NULLS):
            stored = type_coerce(self.expr, LargeBinary)
            positive = op in (operators.eq, operators.is_)
            return stored.is_(None) if positive else stored.is_not(None)
        if op in (operators.eq, operators.ne) and _is_column(other[0]):
            return _of_columns(of, self.expr, op, other[0])
        if op in _PLAIN or op in _LISTS:
            return _compared(of, _exact(of), self.expr, op, other[0])
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


def blind_index(column: Any) -> ColumnElement[bytes]:  # a column or mapped attribute
    """
    The tag of a column's values: to group by, count or join what cannot be read.

    Tells which rows hold equal values, and nothing of what they are.

    Raises:
        EncryptionError: the column has no index of whole tags.

    Example::

        select(func.count(blind_index(Person.email).distinct()))
    """
    element = column.__clause_element__() if hasattr(column, "__clause_element__") else column
    of = _encrypted(element.type)
    return tag_expression(element, _exact(of).keys[0])


def candidates(column: Any, value: Any, key: int | None = None) -> ColumnElement[bool]:
    """
    Rows whose tag is that of a value: the right ones, and perhaps some more.
    """
    element = column.__clause_element__() if hasattr(column, "__clause_element__") else column
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
    name = getattr(op, "__name__", "").removesuffix("_op") or "search"
    return EncryptionError(f"{of.described} cannot be asked for {name}: {reason}")


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
    return list(values)


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


def _is_column(other: Any) -> bool:
    if hasattr(other, "__clause_element__"):
        other = other.__clause_element__()
    return isinstance(other, ColumnClause)


def _of_columns(of: Any, left: Any, op: Any, other: Any) -> ColumnElement[Any]:
    """
    A comparison whose truth in Python is "the same column", as SQLAlchemy's own is.
    """
    if hasattr(other, "__clause_element__"):
        other = other.__clause_element__()
    refused = None
    try:
        expression = _compared(of, _exact(of), left, op, other)
        if isinstance(expression, BinaryExpression):
            expression._orig = (hash(left), hash(other))
            return expression
    except EncryptionError as error:
        refused = error.with_traceback(None)
    if refused is not None:
        expression = BinaryExpression(Refused(refused), Refused(refused), op)
    else:  # two index keys: (… OR …) = true
        constant = true() if op is operators.eq else false()
        expression = BinaryExpression(expression.self_group(), constant, op)
    expression._orig = (hash(left), hash(other))
    return expression


def _right(of: Any, other: Any, key: int) -> Any:
    if hasattr(other, "__clause_element__"):
        other = other.__clause_element__()
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
