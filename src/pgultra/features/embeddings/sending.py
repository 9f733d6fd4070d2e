"""
How COPY is told the values of a column: by what the column is in the database.

COPY in binary takes a value in the binary form of the column's type, and does not look twice:
eight letters for a ``money`` are a number. A driver knows the form of most types. What psycopg
does not know goes as a text, and so does the whole COPY then.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pgvector import Vector
from sqlalchemy import bindparam, text

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.embeddings import driver, wire
from pgultra.features.embeddings.vector import Sent, VectorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["codecs", "fitting", "process_of", "teach", "texts", "types_of"]

TYPES = """
WITH RECURSIVE base AS (
    SELECT a.attname, a.atttypid AS type
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = pg_catalog.to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attname, t.typbasetype
    FROM base AS b
    JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype = 'd'
)
SELECT b.attname, t.oid::int8 AS oid, t.typname, n.nspname, p.proname AS receives,
    e.typname AS element, m.nspname AS element_schema, q.proname AS element_receives
FROM base AS b
JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype <> 'd'
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_proc AS p ON p.oid = t.typreceive
LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND p.proname = 'array_recv'
LEFT JOIN pg_catalog.pg_namespace AS m ON m.oid = e.typnamespace
LEFT JOIN pg_catalog.pg_proc AS q ON q.oid = e.typreceive
"""
"""The type of each column, or what a domain is made of; and that of an array's elements."""

TEXTS = ("textrecv", "varcharrecv", "bpcharrecv", "namerecv", "enum_recv", "citextrecv", "xml_recv")
"""Of types whose binary form is their text."""

VECTOR = "vector_recv"


def types_of(connection: Connection, table: Table, columns: Iterable[Column[Any]]) -> list[Any]:
    """
    What the columns are in the database.

    Raises:
        DeclarationError: the table, or one of them, is not there.
    """
    schema = sql.schema_on(connection, table.schema)
    place = sql.qualified(schema, table.name)
    found = {row.attname: row for row in connection.execute(text(TYPES), {"table": place})}
    for column in columns:
        if column.name not in found:
            raise DeclarationError(
                f"bulk_copy: the database has no column {column.name!r} of {table.fullname}: "
                "create or migrate the table first"
            )
    return [found[column.name] for column in columns]


def process_of(column: Column[Any], type_: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    """
    What turns a value into the one that is sent.

    Raises:
        DeclarationError: the column's type asks the server to compute what is stored.
    """
    declared: Any = column.type.dialect_impl(dialect)
    if isinstance(declared, VectorType):
        return declared.packer()
    asked = declared.bind_expression(bindparam(None, type_=declared))
    if asked is not None and not isinstance(asked, Sent):
        raise DeclarationError(
            f"bulk_copy: what is stored in {column.table}.{column.name} is computed by PostgreSQL "
            f"(bind_expression of {type(column.type).__name__}), and COPY would store the value "
            "itself: use insert()"
        )
    process: Callable[[Any], Any] | None = declared.bind_processor(dialect)
    if type_.receives == VECTOR:
        return _vector if process is None else lambda value: _vector(process(value))
    return process


def _vector(value: Any) -> Any:
    """
    What another type than ours makes of a vector, as bytes.
    """
    if value is None or isinstance(value, wire.Packed):
        return value
    vector = Vector.from_text(value) if isinstance(value, str) else Vector(value)
    return wire.Packed(vector.to_binary())


# -- psycopg ----------------------------------------------------------------------------------


def _numeric(value: Any, zone: dt.tzinfo) -> Any:
    return value if isinstance(value, Decimal | int) else Decimal(str(value))


def _uuid(value: Any, zone: dt.tzinfo) -> Any:
    return uuid.UUID(value) if isinstance(value, str) else value


def _timestamp(value: Any, zone: dt.tzinfo) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(zone).replace(tzinfo=None) if value.tzinfo else value
    return _midnight(value, None)


def _timestamptz(value: Any, zone: dt.tzinfo) -> Any:
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    return _midnight(value, zone)


def _midnight(value: Any, zone: dt.tzinfo | None) -> Any:
    is_day = isinstance(value, dt.date)
    return dt.datetime.combine(value, dt.time(), tzinfo=zone) if is_day else value


def _inet(value: Any, zone: dt.tzinfo) -> Any:
    return ipaddress.ip_interface(value) if isinstance(value, str) else value


def _cidr(value: Any, zone: dt.tzinfo) -> Any:
    return ipaddress.ip_network(value) if isinstance(value, str) else value


FITTING = {
    "numeric": _numeric,
    "uuid": _uuid,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "inet": _inet,
    "cidr": _cidr,
}
"""Types of which an insert takes more than psycopg's binary form does, and what fits."""


def fitting(type_: Any, connection: Any) -> Callable[[Any], Any] | None:
    """
    What makes a value one that psycopg writes in binary, in the session's time zone.
    """
    fit = FITTING.get(type_.typname) if type_.nspname == "pg_catalog" else None
    if fit is None:
        return None
    zone = connection.info.timezone
    return lambda value: None if value is None else fit(value, zone)


def texts(types: Sequence[Any], cursor: Any, psycopg: Any) -> bool:
    """
    Whether there is a column that psycopg cannot write in binary.
    """
    return not all(
        type_.receives in (VECTOR, *TEXTS)
        or (
            type_.nspname == "pg_catalog"
            and type_.element not in FITTING
            and _knows(cursor, type_.oid, psycopg)
        )
        for type_ in types
    )


def _knows(cursor: Any, oid: int, psycopg: Any) -> bool:
    try:
        cursor.adapters.get_dumper_by_oid(oid, psycopg.pq.Format.BINARY)
    except psycopg.ProgrammingError:
        return False
    return True


def teach(types: Sequence[Any], cursor: Any, psycopg: Any, in_text: bool) -> None:
    """
    Let this cursor write vectors, and texts of types that psycopg does not know.
    """
    if in_text:
        cursor.adapters.register_dumper(wire.Packed, driver.printer(psycopg))
        return
    for type_ in types:
        if type_.receives == VECTOR:
            cursor.adapters.register_dumper(None, driver.dumper(psycopg, type_.oid))
        elif not _knows(cursor, type_.oid, psycopg):
            cursor.adapters.register_dumper(None, _text_dumper(psycopg, type_.oid))


def _text_dumper(psycopg: Any, oid: int) -> Any:
    """
    A dumper for COPY in binary into types whose binary form is their text: enums, citext.
    """

    def dump(self: Any, value: str) -> bytes:
        return value.encode()

    body = {"format": psycopg.pq.Format.BINARY, "oid": oid, "dump": dump}
    return type("TextDumper", (psycopg.adapt.Dumper,), body)


# -- asyncpg ----------------------------------------------------------------------------------


def codecs(types: Sequence[Any]) -> dict[str, tuple[str, Any, Any]]:
    """
    Schema, encoder and decoder of each type that asyncpg writes in no binary form by itself.
    """
    found: dict[str, tuple[str, Any, Any]] = {}
    for type_ in types:
        several = (
            (type_.typname, type_.nspname, type_.receives),
            (type_.element, type_.element_schema, type_.element_receives),
        )
        for name, schema, receives in several:
            if receives == VECTOR:
                found[name] = (schema, bytes, bytes)
            elif receives == "citextrecv":
                found[name] = (schema, str.encode, bytes.decode)
    return found
