"""
How a driver sends vectors and gives them back: in binary, where it can.

psycopg sends them through a dumper for a private class, which is registered on a connection
the first time such a value is sent over it, so that nothing depends on a pool or on when
the engine was made; cursors that put values into the text (``ClientCursor``) print them.
asyncpg sends an array of ``real``, in binary too. Other drivers get pgvector-python's text.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from pgvector import Vector
from sqlalchemy import event
from sqlalchemy import types as sqltypes
from sqlalchemy.sql.compiler import SQLCompiler

from pgultra.features.embeddings.wire import Packed

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["driver_of", "dumper", "listen", "printer", "psycopg_of", "register"]

# What psycopg reads in binary exactly as in text. Strings are not here: a column that is
# declared as String may be an enum or a citext in the database, which come back as bytes.
BINARY_TYPES = (
    sqltypes.Integer,
    sqltypes.Uuid,
    sqltypes.Boolean,
    sqltypes.Float,
    sqltypes.DateTime,
    sqltypes.Date,
    sqltypes.LargeBinary,
)

_prepared: weakref.WeakSet[Any] = weakref.WeakSet()


def driver_of(dialect: Dialect) -> str:
    """
    ``psycopg`` or ``asyncpg``, or another name.
    """
    return str(getattr(dialect, "driver", ""))


def psycopg_of(dialect: Any) -> Any:
    """
    The module psycopg, which pgultra does not import itself.
    """
    return getattr(dialect.dbapi, "psycopg", dialect.dbapi)


def register(driver_connection: Any, psycopg: Any, *cursors: Any) -> None:
    """
    Teach a psycopg connection to send Packed values; others' values are not touched.
    """
    if driver_connection in _prepared:
        return
    dumpers = printer(psycopg), dumper(psycopg)  # the last is taken where either would do
    for each in (driver_connection, *cursors):
        for one in dumpers:
            each.adapters.register_dumper(Packed, one)
    _prepared.add(driver_connection)


_dumpers: dict[int | None, Any] = {}


def dumper(psycopg: Any, oid: int = 0) -> Any:
    """
    A dumper in binary; where its type is unknown (0), the statement's cast decides.
    """
    if oid not in _dumpers:

        def dump(self: Any, value: Packed) -> Packed:
            return value

        body = {"format": psycopg.pq.Format.BINARY, "oid": oid, "dump": dump}
        _dumpers[oid] = type("PackedDumper", (psycopg.adapt.Dumper,), body)
    return _dumpers[oid]


def printer(psycopg: Any) -> Any:
    """
    A dumper in text, for COPY as text and for cursors that send no parameters.

    Nine digits tell every 32-bit float, and are read quicker than the seventeen of a double.
    """
    if None not in _dumpers:

        def dump(self: Any, value: Packed) -> bytes:
            numbers = Vector.from_binary(value).to_list()
            return ("[" + ",".join(["%.9g"] * len(numbers)) % tuple(numbers) + "]").encode()

        _dumpers[None] = type("PackedPrinter", (psycopg.adapt.Dumper,), {"dump": dump})
    return _dumpers[None]


def listen(dialect: Dialect) -> None:
    """
    Look at the statements of one engine from now on: those with vectors go in binary.
    """
    for name, listener in (("do_execute", _before), ("do_executemany", _before)):
        if not event.contains(dialect, name, listener):
            event.listen(dialect, name, listener)


def _before(cursor: Any, statement: str, parameters: Any, context: Any) -> None:
    compiled = getattr(context, "compiled", None)
    if not isinstance(compiled, SQLCompiler):  # raw SQL, or DDL
        return
    seen = compiled.__dict__.get("_pgultra_vectors")
    if seen is None:  # compiled statements are cached, and this with them
        seen = compiled.__dict__["_pgultra_vectors"] = _look_at(compiled)
    sends, receives = seen
    if sends or receives:
        inner = getattr(cursor, "_cursor", cursor)  # the async adapter's own
        if sends:
            connection = context.root_connection.connection.driver_connection
            register(connection, psycopg_of(context.dialect), inner)
        if receives and not hasattr(inner, "mogrify"):  # a ClientCursor reads nothing but text
            inner.format = psycopg_of(context.dialect).pq.Format.BINARY


def _look_at(compiled: Any) -> tuple[bool, bool]:
    """
    Whether a statement sends vectors, and whether all that it returns is safe in binary.
    """
    sends = any(_is_vector(each.type) for each in compiled.bind_names)
    entries = getattr(compiled, "_result_columns", None) or ()
    results = [entry[3] for entry in entries]
    receives = any(map(_is_vector, results)) and all(
        _is_vector(each) or isinstance(each, BINARY_TYPES) for each in results
    )
    # PostgreSQL's own columns are of types that psycopg does not know: xmin is no integer.
    own = (getattr(each, "system", False) for entry in entries for each in entry[2])
    return sends, receives and not any(own)


def _is_vector(type_: Any) -> bool:
    return bool(getattr(type_, "sent_packed", False))
