"""
What an encrypted column can be asked, and why it cannot be asked the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    LargeBinary,
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgultra.features.encryption.model import Encrypted
    from pgultra.features.encryption.search import Search

__all__ = ["Comparator", "TagOf", "blind_index"]

_NULLS = (operators.is_, operators.is_not)
_PLAIN = {
    operators.eq: operators.eq,
    operators.ne: operators.ne,
    operators.is_distinct_from: operators.is_distinct_from,
    operators.is_not_distinct_from: operators.is_not_distinct_from,
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


def printer(process: Callable[[Any], bytes | None]) -> Callable[[Any], str]:
    """
    A literal processor that prints what a bind processor gives.
    """

    def literal(value: Any) -> str:
        given = process(value)
        return "NULL" if given is None else f"'\\x{given.hex()}'::bytea"

    return literal


class TagOf(UserDefinedType[Any]):
    """
    The type of what a tag is compared with: takes the value, gives the tag.

    Args:
        of: the encrypted column's type.
        key: number of the index key.
    """

    cache_ok = True

    def __init__(self, of: Encrypted, key: int) -> None:
        self.of = of
        self.key = key

    def get_col_spec(self, **_options: Any) -> str:
        """
        ``BYTEA``.
        """
        return "BYTEA"

    def bind_processor(self, dialect: object) -> Callable[[Any], bytes | None]:
        """
        The tag is made when the statement runs.
        """
        of, key = self.of, self.key

        def process(value: Any) -> bytes | None:
            return None if value is None else of.guarded(lambda v: of.tagger.tag(v, key), value)

        return process

    def literal_processor(self, dialect: object) -> Callable[[Any], str]:
        """
        Printed statements hold the tag, not the value.
        """
        return printer(self.bind_processor(dialect))

    def __repr__(self) -> str:
        return f"TagOf({self.of!r}, {self.key})"


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
            tag_expression(element, each, search.size) == _bound(value, of, each)
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
    sides = [(tag_expression(left, key), _right(of, op, other, key)) for key in search.keys]
    if len(sides) == 1:
        tag, right = sides[0]
        compared: ColumnElement[Any] = op(tag, right)
        return compared
    # While the index is re-keyed, a row has the old tag, or the new one, or both.
    if op in (operators.eq, operators.in_op):
        return or_(*(op(tag, right) for tag, right in sides))
    if op in (operators.ne, operators.not_in_op):
        same = operators.eq if op is operators.ne else operators.in_op
        return not_(func.coalesce(*(same(tag, right) for tag, right in sides)))
    raise _unable(of, op, "not while its index is re-keyed")


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


def _right(of: Any, op: Any, other: Any, key: int) -> Any:
    if op in _LISTS:
        if isinstance(other, BindParameter):
            return _typed(other, of, key)
        return [_bound(each, of, key) for each in other]
    if hasattr(other, "__clause_element__"):
        other = other.__clause_element__()
    if isinstance(other, BindParameter):
        return _typed(other, of, key)
    if isinstance(other, ClauseElement):
        return tag_expression(other, key) if _joinable(of, other) else other
    return _bound(other, of, key)


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


def _bound(value: Any, of: Any, key: int) -> Any:
    if isinstance(value, BindParameter):
        return _typed(value, of, key)
    return BindParameter(None, value, type_=of.tag_type(key), unique=True)


def _typed(parameter: BindParameter[Any], of: Any, key: int) -> Any:
    return type_coerce(parameter, of.tag_type(key))
