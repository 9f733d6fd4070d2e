"""
Filling a vector in: for rows that stood before it, or before its parts changed.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, literal_column, select, true, tuple_, update

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError
from pgultra.features.search.words import plain, rules_behind, table_behind
from pgultra.plan import hidden_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, Connection, Table

__all__ = ["Backfilled", "backfill", "insist_on_all_rows"]


@dataclass(frozen=True, slots=True)
class Backfilled:
    """
    How far a backfill has come.

    Attributes:
        seen: rows that were looked at.
        changed: rows whose vector was not what it should be.
        last: the key of the last row, to go on from.

    >>> Backfilled(seen=1000, changed=7, last=(1000,)).changed
    7
    """

    seen: int = 0
    changed: int = 0
    last: tuple[Any, ...] | None = None


@on_connection
def backfill(
    connection: Connection,
    column: Any,  # a vector: an attribute or a column
    *,
    batch_size: int = 1000,
    after: Sequence[Any] | None = None,
    progress: Callable[[Backfilled], object] | None = None,
) -> Backfilled:
    """
    Make the vectors of rows that were there before, in batches, in the order of the key.

    Only rows whose vector differs are written, so it can be run again at any time; of a vector
    with ``Related`` parts all are, since what they say is known when they are written, and so of
    one with dates or other values whose text depends on settings. If the
    connection is not in a transaction, each batch is committed; then an interrupted run
    goes on from ``after=`` the last key that it reported, or from the start at the cost
    of looking again. A generated column needs none: its migration fills it.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        column: a vector that triggers keep.
        batch_size: rows of one transaction.
        after: the key to go on from.
        progress: called after each batch with what was done so far.

    Raises:
        DeclarationError: the column is no vector of pgultra, its table has no primary key, or
            ``batch_size`` is below 1.
        PgultraError: policies hide rows from this role.

    Example:
        ``search.backfill(connection, Article.search, progress=print)``
    """
    rules, table = rules_behind(column), table_behind(plain(column))
    if rules is None:
        raise DeclarationError(f"search.backfill: {column} is no vector of pgultra")
    if batch_size < 1:
        raise DeclarationError(f"search.backfill: batch_size={batch_size} is no number of rows")
    if rules.generated(table):
        return Backfilled()
    insist_on_all_rows(connection, table, "search.backfill")
    vector = rules.vector(table)
    stale: Any = true()
    if not (vector.chains or vector.settings):  # what hangs on more is made anew for each
        stale = table.c[rules.column].is_distinct_from(literal_column(vector.expression()))
    begin: Any = nullcontext if connection.in_transaction() else connection.begin
    done = Backfilled(last=None if after is None else tuple(after))
    while True:
        with begin():
            step = _batch(connection, table, rules.column, stale, done, batch_size)
        if step is None:
            return done
        done = step
        if progress is not None:
            progress(done)


def insist_on_all_rows(connection: Connection, table: Table, what: str) -> None:
    """
    Refuse to speak of all rows where policies hide some from this role.

    Raises:
        PgultraError: they do.
    """
    place = sql.qualified(sql.schema_on(connection, table.schema), table.name)
    hidden_rows.insist_on_all_rows(connection, place, f"{what} would pass over")


def _batch(
    connection: Connection, table: Table, column: str, stale: Any, done: Backfilled, size: int
) -> Backfilled | None:
    key = list(table.primary_key)
    if not key:
        raise DeclarationError(f"search.backfill: table {table.fullname} has no primary key")
    ahead = select(*key).order_by(*key).limit(size)
    if done.last is not None:
        ahead = ahead.where(tuple_(*key) > _values(key, done.last))
    rows = connection.execute(ahead).all()
    if not rows:
        return None
    first, last = tuple(rows[0]), tuple(rows[-1])
    other = case((table.c[column].is_(None), literal_column("''::tsvector")))
    changed = connection.execute(
        update(table)
        .where(tuple_(*key) >= _values(key, first), tuple_(*key) <= _values(key, last), stale)
        .values({table.c[column]: other})
    ).rowcount
    return Backfilled(done.seen + len(rows), done.changed + changed, last)


def _values(key: Sequence[Column[Any]], values: Sequence[Any]) -> Any:
    """
    The values of a key, each sent as its column sends them.
    """
    pairs = zip(key, values, strict=True)
    return tuple_(*(bindparam(None, value, column.type) for column, value in pairs))
