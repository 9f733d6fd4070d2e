r"""
Binding a value to its row: what the context is in Python, and how it is read in SQL.

When a row is read, its context columns come packed in front of the value. When it is
written, ``writing`` takes them from the same row's parameters.

::

    \x00  context part …  sealed value       read together with the context
    \x02  text                               the plaintext column, while it is being replaced
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import LargeBinary, Text, case, cast, func, literal_column, type_coerce, types
from sqlalchemy.sql.elements import Label
from sqlalchemy.sql.expression import TableClause

from pgultra.errors import DeclarationError, EncryptionError
from pgultra.features.encryption.format import associated, split_parts
from pgultra.features.encryption.judging import judge_context, judge_plain
from pgultra.features.encryption.naming import column_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, ColumnElement, Table

    from pgultra.features.encryption.model import Encrypted

__all__ = ["InContext", "columns_of", "opener", "packed", "part_of", "sealer"]

SEALED = b"\x00"
PLAIN = b"\x02"


class InContext(NamedTuple):
    """
    A value with the context of its row, on its way to the bind processor.
    """

    value: Any  # of the column's Python type
    parts: tuple[bytes | None, ...]

    def __repr__(self) -> str:
        return "<a value in its context>"


def columns_of(of: Encrypted, table: Table) -> list[Column[Any]]:
    """
    The context columns of an encrypted column, in order.

    Raises:
        DeclarationError: the table has no such column, its type has no fixed text, or the
            database changes it by itself.
    """
    found = []
    for name in of.context:
        column = column_named(table, name, of.column)
        if column is None:
            raise DeclarationError(f"{of.described}: context {name!r} is no column of {table}")
        _text_of(of, column)
        judge_context(of, column)
        found.append(column)
    return found


def part_of(of: Encrypted, column: Column[Any], value: Any) -> bytes | None:
    """
    One context value as bytes: the text that PostgreSQL prints for it.
    """
    if value is None:
        return None
    return _text_of(of, column)(value)


def _text_of(of: Encrypted, column: Column[Any]) -> Callable[[Any], bytes]:
    type_ = column.type
    if isinstance(type_, types.Uuid):
        return lambda value: str(
            value if isinstance(value, uuid.UUID) else uuid.UUID(value)
        ).encode()
    if isinstance(type_, types.Integer):
        return lambda value: b"%d" % value
    if isinstance(type_, types.String) and not isinstance(type_, types.Enum):
        return str.encode
    raise DeclarationError(
        f"{of.described}: context column {column.name} is {type_!r}; it can be an integer, "
        "a text or a UUID, whose texts are the same in Python and in PostgreSQL"
    )


def sealer(of: Encrypted) -> Callable[[Any], bytes]:
    """
    The bind processor of a column with context: takes values that ``writing`` prepared.
    """

    def seal(value: Any) -> bytes:
        if not isinstance(value, InContext):
            raise EncryptionError(
                f"{of.described} is bound to {', '.join(map(str, of.context))} of the same row, "
                "which this statement does not tell: write it with insert() or update() on the "
                "table, with these columns among the values or compared by == in WHERE"
            )
        return of.seal(value.value, value.parts)

    return seal


def opener(of: Encrypted) -> Callable[[Any], Any]:
    """
    The result processor of a column that is read packed.
    """
    decode, box, count = of.codec.decode, of.box, len(of.context)
    head = associated(box.place.id)[:-1] + bytes([count])
    plain = plain_reader(of) if of.dual else None

    def open_(value: bytes | None) -> Any:
        if value is None:
            return None
        if plain is not None and value[:1] == PLAIN:
            return of.guarded(plain, value[1:])
        if value[:1] != SEALED:
            raise EncryptionError(_lost(of))
        try:
            end = split_parts(value, count)
        except ValueError:
            end = -1
        if end < 0:
            raise box.failure(None)
        parts = value[1:end]
        subject = (lambda: _subject(of, parts)) if of.subjects is not None else None
        raw = box.open_bound(value[end:], head + parts, subject)
        return of.decoded(decode, raw)

    return open_


def _subject(of: Encrypted, parts: bytes) -> bytes | None:
    length = int.from_bytes(parts[:4], signed=True)
    assert of.subjects is not None
    return None if length < 0 else of.subjects.key(parts[4 : 4 + length].decode())


def _lost(of: Encrypted) -> str:
    needed = ", ".join(map(str, of.context)) if of.context else of.dual
    return (
        f"{of.described} is read together with {needed} of the same row; this form of query "
        "(text(), a function such as max(), a subquery or union without these columns) lost them"
    )


def packed(of: Encrypted, expression: Any) -> ColumnElement[Any]:
    """
    The value with its context in front.

    Raises:
        EncryptionError: the expression is not a column whose row is known.
    """
    if isinstance(expression, Label):
        expression = expression.element
    owner = of.column
    if getattr(expression, "table", None) is None or owner is None or owner.table is None:
        raise EncryptionError(_lost(of))
    base: Any = owner.table
    pieces: list[Any] = [_bytes(SEALED)]
    for column in columns_of(of, base):
        here = _beside(of, expression, column)
        raw = func.convert_to(cast(here, Text), literal_column("'UTF8'"), type_=LargeBinary)
        size = func.int4send(func.octet_length(raw), type_=LargeBinary)
        pieces.append(func.coalesce(size.op("||")(raw), _bytes(b"\xff" * 4), type_=LargeBinary))
    pieces.append(type_coerce(expression, LargeBinary))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole.op("||")(piece)
    if of.dual:
        plain = _beside(of, expression, plain_column(of, base))
        whole = _either(plain, expression, whole)
    return type_coerce(whole, of)


def _beside(of: Encrypted, expression: Any, column: Column[Any]) -> Any:
    """
    Another column of the same row as an expression's, where both come out of a subquery.

    Raises:
        EncryptionError: it is not there; a column of the same name may be of another row.
    """
    source = expression.table
    row = _sources(expression)
    if row == {expression}:
        found = source.corresponding_column(column)
    else:
        wanted = {each.table.corresponding_column(column) for each in row}
        found = next((each for each in source.c if _sources(each) == wanted), None)
    if found is None:
        raise EncryptionError(_lost(of))
    return found


def _sources(expression: Any) -> set[Any]:
    """
    The columns of tables, or of their aliases, that a column of a subquery stands for.
    """
    table = getattr(expression, "table", None)
    if not expression._proxies or isinstance(getattr(table, "element", table), TableClause):
        return {expression}
    return {source for each in expression._proxies for source in _sources(each)}


def _either(plain: Any, expression: Any, sealed: Any) -> Any:
    text: Any = cast(plain, Text)
    if isinstance(plain.type, types.Date | types.DateTime):
        text = func.to_jsonb(plain).op("#>>")(literal_column("'{}'"))  # whatever DateStyle is
    text = func.convert_to(text, literal_column("'UTF8'"), type_=LargeBinary)
    return case(
        (type_coerce(expression, LargeBinary).is_not(None), sealed),
        (plain.is_not(None), _bytes(PLAIN).op("||")(text)),
    )


def _bytes(value: bytes) -> ColumnElement[bytes]:
    return literal_column(f"'\\x{value.hex()}'::bytea", LargeBinary)


def plain_column(of: Encrypted, table: Table) -> Column[Any]:
    """
    The plaintext column that an encrypted one replaces.

    Raises:
        DeclarationError: there is none of this name, or none that the database can read.
    """
    assert of.dual is not None
    column = column_named(table, of.dual, of.column)
    if column is None:
        raise DeclarationError(f"{of.described}: dual={of.dual!r} is no column of {table}")
    judge_plain(of, column)
    return column


def plain_reader(of: Encrypted) -> Callable[[bytes], Any]:
    """
    From the text that PostgreSQL prints for a plaintext to the value.
    """
    inner = of.inner
    while isinstance(inner, types.TypeDecorator):
        inner = inner.impl_instance
    decode = of.codec.decode
    if isinstance(inner, types.Uuid):
        return lambda raw: decode(uuid.UUID(raw.decode()).bytes)
    if isinstance(inner, types.Boolean):
        return lambda raw: decode(b"1" if raw == b"true" else b"0")
    return decode
