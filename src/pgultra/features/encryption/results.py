"""
Binary results for psycopg: ``bytea`` as bytes, and not as twice as many hexadecimal digits.

Optional: nothing depends on it but speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event

from pgultra.features.encryption.comparator import is_encrypted

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["binary_results"]

SAFE = frozenset(
    # bool, bytea, int8, int2, int4, text, oid, json, float8, varchar, bpchar, date, time,
    # timestamp, timestamptz, interval, timetz, numeric, uuid, jsonb; not float4, whose text
    # is rounded
    {16, 17, 20, 21, 23, 25, 26, 114, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266}
    | {1700, 2950, 3802}
)
"""Types by oid whose binary form psycopg gives as the same Python value."""
TEXT, BINARY = 0, 1


class _Switch:
    """
    Chooses the format of results, statement by statement.

    The first run of a statement is in text; when the types that came back are safe, and an
    encrypted column is among them, later runs ask for binary results.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()
        self._looked: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def before(
        self,
        connection: object,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        many: bool,
    ) -> None:
        """
        Ask for binary results, if this is known to be right.
        """
        compiled = getattr(context, "compiled", None)
        if compiled is not None and not many and compiled in self._known and not _named(cursor):
            _inner(cursor).format = BINARY

    def after(
        self,
        connection: object,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: Any,
        many: bool,
    ) -> None:
        """
        Learn from the types that came back; begin anew if they changed since.
        """
        compiled = getattr(context, "compiled", None)
        if compiled is None or many or cursor.description is None or _named(cursor):
            return
        known = self._known.get(compiled)
        if known is None and compiled in self._looked:
            return
        types = tuple(column.type_code for column in cursor.description)
        if known is None:
            self._looked[compiled] = True
            if self._worth_it(compiled) and _same_either_way(_inner(cursor), types):
                self._known[compiled] = types
        elif known != types:
            # Somebody changed the table since: what came may be bytes that nobody reads.
            del self._known[compiled]
            if not _same_either_way(_inner(cursor), types):
                _inner(cursor).format = TEXT
                cursor.execute(statement, parameters)

    def _worth_it(self, compiled: Any) -> bool:
        columns = getattr(compiled, "_result_columns", None) or ()
        selects = getattr(compiled.statement, "is_select", False)
        return selects and any(is_encrypted(column.type) for column in columns)


def _named(cursor: Any) -> bool:
    """
    Whether it is a server's cursor, which is asked for in SQL and stays as it is.
    """
    return getattr(_inner(cursor), "name", None) is not None


def _same_either_way(cursor: Any, types: tuple[int, ...]) -> bool:
    """
    Whether these types are safe, and read by psycopg's own loaders: a host's are for text.
    """
    return SAFE.issuperset(types) and all(
        loader is not None and loader.__module__.startswith("psycopg")
        for loader in (cursor.adapters.get_loader(each, TEXT) for each in types)
    )


def _inner(cursor: Any) -> Any:
    """
    Psycopg's own cursor, behind SQLAlchemy's for asyncio.
    """
    return getattr(cursor, "_cursor", cursor)


def binary_results(engine: Engine | AsyncEngine) -> None:
    """
    Let statements that read encrypted columns fetch binary results, where that is safe.

    Statements without an encrypted column, server-side cursors, and types for which the host
    has registered loaders of its own stay as they are.

    Args:
        engine: of psycopg; with other drivers nothing is done (asyncpg's are binary always).

    Example::

        engine = create_engine("postgresql+psycopg://…")
        binary_results(engine)
    """
    engine = getattr(engine, "sync_engine", engine)
    if engine.dialect.driver not in ("psycopg", "psycopg_async"):
        return
    switch = _Switch()
    event.listen(engine, "before_cursor_execute", switch.before)
    event.listen(engine, "after_cursor_execute", switch.after)
