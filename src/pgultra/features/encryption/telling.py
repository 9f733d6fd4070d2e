"""
Contexts that the unit of work knows and does not write: told beside the statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["forget", "tell", "told"]

Key = tuple[Any, ...]

_told: WeakKeyDictionary[Connection, dict[tuple[Table, Key], dict[str, Any]]] = WeakKeyDictionary()


def tell(connection: Connection, table: Table, key: Key, context: dict[str, Any]) -> None:
    """
    Say what a row has, whose UPDATE comes next on this connection.
    """
    _told.setdefault(connection, {}).setdefault((table, key), {}).update(context)


def told(connection: Connection, table: Table, key: Key) -> dict[str, Any]:
    """
    What was said of a row; once.
    """
    return _told[connection].pop((table, key), {}) if connection in _told else {}


def forget(connection: Connection, *_savepoint: object) -> None:
    """
    Forget all of it: the UPDATE did not come, since what went before it failed.
    """
    _told.pop(connection, None)
