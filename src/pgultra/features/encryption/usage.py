"""
Which keys are in use, and which may be retired.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, func, select
from sqlalchemy import inspect as inspected

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import EncryptionError
from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.format import key_expression
from pgultra.plan import hidden_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

__all__ = ["KeyUsage", "key_usage"]


ROUNDS = 100
"""So often are rows that others held looked for again."""
PAUSE = 0.05
"""Seconds between two rounds."""


@dataclass(frozen=True)
class KeyUsage:
    """
    One key of one column.

    Attributes:
        column: ``table.column``.
        key: the number.
        rows: values that it sealed.
        active: whether it seals new ones.
        indexing: whether the column's blind index needs it.
        known: whether the ring holds it.

    >>> print(KeyUsage("person.email", 1, 0, active=False, indexing=False, known=True))
    person.email key 1: 0 rows, may be retired
    """

    column: str
    key: int
    rows: int
    active: bool
    indexing: bool
    known: bool

    @property
    def retirable(self) -> bool:
        """
        Whether this column can do without the key. Ask all columns of the ring.
        """
        return not (self.rows or self.active or self.indexing)

    def __str__(self) -> str:
        words = [f"{self.rows:,} rows"]
        words += ["active"] if self.active else []
        words += ["needed by the blind index"] if self.indexing else []
        words += ["may be retired"] if self.retirable else []
        words += [] if self.known else ["NOT IN THE RING"]
        return f"{self.column} key {self.key}: {', '.join(words)}"


def encrypted_columns(target: Any) -> list[Column[Any]]:
    """
    The encrypted columns of a column, table, mapped class, base or MetaData.

    Raises:
        EncryptionError: there are none.
    """
    found = [column for column in _columns(target) if is_encrypted(column.type)]
    if not found:
        raise EncryptionError(f"{target!r} has no encrypted column")
    return found


def encrypted_column(given: Any) -> Column[Any]:
    """
    The one encrypted column that is meant.

    Raises:
        EncryptionError: there is none, or there are several.
    """
    first, *others = encrypted_columns(given)
    if others:
        several = ", ".join(column.key for column in (first, *others))
        raise EncryptionError(
            f"column={given!r} has several encrypted columns: give {several} alone"
        )
    return first


def _columns(target: Any) -> Iterator[Column[Any]]:
    if isinstance(target, Column):
        yield target
    elif isinstance(target, Table):
        yield from target.columns
    elif isinstance(target, MetaData):
        for table in target.tables.values():
            yield from table.columns
    elif hasattr(target, "property"):  # a mapped attribute
        yield from target.property.columns
    elif (mapper := inspected(target, raiseerr=False)) is not None:
        yield from getattr(getattr(mapper, "local_table", None), "columns", ())
    elif isinstance(getattr(target, "metadata", None), MetaData):
        yield from _columns(target.metadata)


def insist_on_batches(connection: Connection) -> None:
    """
    Refuse a connection on which a batch could not be a transaction of its own.

    Raises:
        EncryptionError: it is in one, or commits each statement by itself.
    """
    if connection.in_transaction():
        raise EncryptionError(
            "each batch is a transaction of its own: give a connection that is in none"
        )
    made_so = getattr(connection.dialect, "_on_connect_isolation_level", None)
    if connection.get_execution_options().get("isolation_level", made_so) == "AUTOCOMMIT":
        raise EncryptionError(
            "each batch is a transaction, and this connection commits each statement by itself: "
            'give connection.execution_options(isolation_level="READ COMMITTED")'
        )


def insist_on_all_rows(connection: Connection, table: Table, what: str) -> None:
    """
    Refuse to speak of all rows where policies hide some from this role.

    Raises:
        EncryptionError: they do.
    """
    place = sql.qualified(sql.schema_on(connection, table.schema), table.name)
    hidden_rows.insist_on_all_rows(connection, place, f"{what} would pass over", EncryptionError)


@on_connection
def key_usage(connection: Connection, target: Any) -> list[KeyUsage]:
    """
    Count rows for each key; answered from the index over key numbers.

    Args:
        connection: a Connection, or an AsyncConnection (then await).
        target: an encrypted column, a mapped class or table, or a MetaData.

    Returns:
        an entry for each column and key, keys of the ring without rows included.

    Raises:
        EncryptionError: row level security hides rows from this role.

    Example::

        for usage in key_usage(connection, Base.metadata):
            print(usage)
    """
    with transaction_of_its_own(connection):
        return [use for column in encrypted_columns(target) for use in _usage(connection, column)]


@contextmanager
def transaction_of_its_own(connection: Connection) -> Iterator[None]:
    """
    Read in the caller's transaction, or in one that leaves nothing behind.
    """
    began = not connection.in_transaction()
    try:
        yield
    finally:
        if began:
            connection.rollback()


def _usage(connection: Connection, column: Column[Any]) -> Iterator[KeyUsage]:
    of: Any = column.type
    insist_on_all_rows(connection, column.table, "key_usage")
    snapshot = of.keys.current()
    rows = _rows(connection, column)
    indexing = of.search.keys if of.search is not None else ()
    for key in sorted({*rows, *snapshot.keys, *indexing}):
        yield KeyUsage(
            f"{column.table}.{column.name}",
            key,
            rows.get(key, 0),
            active=key == snapshot.active,
            indexing=key in indexing,
            known=key in snapshot.keys,
        )


def _rows(connection: Connection, column: Column[Any]) -> dict[int, int]:
    """
    Jump from one key number to the next in the index, then count each.
    """
    key = key_expression(column)
    first = select(key.label("key")).where(key.is_not(None)).order_by(key).limit(1)
    keys = select(first.scalar_subquery().label("key")).cte("keys", recursive=True)
    following = select(key).where(key > keys.c.key).order_by(key).limit(1).scalar_subquery()
    keys = keys.union_all(select(following).where(keys.c.key.is_not(None)))
    count = select(func.count()).select_from(column.table).where(key == keys.c.key)
    statement = select(keys.c.key, count.scalar_subquery()).where(keys.c.key.is_not(None))
    return {int.from_bytes(number): rows for number, rows in connection.execute(statement)}
