"""
drain_default: rows that had no home when they came get one, and the default partition empties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import PgultraError
from pgultra.features.partitions.attempts import Attempts, alone
from pgultra.features.partitions.bounds import typed
from pgultra.features.partitions.growth import drain_bound
from pgultra.features.partitions.names import child_name, free_name
from pgultra.features.partitions.planning import expired, sorted_ranges
from pgultra.features.partitions.survey import (
    declared,
    metadata_of,
    moment_of,
    seen,
    table_of,
)
from pgultra.features.partitions.tasks import taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.draining import Drained
    from pgultra.features.partitions.level import Level
    from pgultra.features.partitions.survey import Survey

__all__ = ["drain_default"]

LAST = {"timestamptz": "9999-12-31", "timestamp": "9999-12-31", "date": "9999-12-31"}
"""Python holds no later time; such rows stay where they are, with those of the year infinity."""


@on_connection
def drain_default(
    connection: Connection,
    target: Any,  # a mapped class or Table; a MetaData or declarative base for all of its tables
    *,
    now: datetime | None = None,
    batch: int = 10_000,
    lock_timeout: float = 2.0,
    attempts: int = 10,
    pause: float = 0.5,
    progress: Callable[[str, int], object] | None = None,
) -> tuple[Drained, ...]:
    """
    Move the rows of default partitions into partitions of their own, made for them.

    Every row is visible all the time. The rows of each partition are copied in batches, with
    a trigger that repeats changes; then, in one short transaction, compared, deleted from the
    default partition and attached. What was killed goes on where it was when it is called again.

    Rows that retention would take away at once stay, as do rows whose key is NULL or beyond
    what Python can hold, and values that no group of a list names.

    Args:
        connection: in no transaction. With an AsyncConnection, await the result.
        target: a mapped class or Table; a MetaData or base for all of its tables.
        now: the present, if not by the server's clock.
        batch: rows that are copied in one transaction.
        lock_timeout: seconds for which one attempt waits for a lock.
        attempts: how often each act is tried.
        pause: seconds before the second attempt; then they double.
        progress: called with the name of the new partition and the rows copied so far.

    Raises:
        PgultraError: the connection is in a transaction; somebody else is at the table; its
            rows cannot be told apart; or foreign keys refer to it and this role may not
            silence triggers.

    Example:
        ``partitions.drain_default(connection, Event)``
    """
    hand = Attempts(connection, lock_timeout, attempts, pause)
    metadata, wanted = metadata_of(target), table_of(target)
    done: list[Drained] = []
    with hand.levels():
        with hand.transaction():
            moment = moment_of(connection, now)
            found = declared(connection, metadata)
        for bare in found:
            if not bare.is_ours or (wanted is not None and bare.parent.table is not wanted):
                continue
            each = seen(hand, bare, moment, None, indexes=False)
            if not any(level.default for level in each.levels):
                continue
            assert each.parent.oid is not None  # it has levels
            with alone(connection, each.parent.oid) as held:
                if not held:
                    raise PgultraError(f"another run is at {each.parent.spelt}: try again later")
                done += _drain(hand, each, moment, batch, progress)
    return tuple(done)


def _drain(
    hand: Attempts,
    found: Survey,
    moment: datetime,
    batch: int,
    progress: Callable[[str, int], object] | None,
) -> Iterator[Drained]:
    for level in found.levels:
        if level.default is None:
            continue
        for bound in _homes(hand, level, moment):
            name = _name(hand, level, bound)
            spelt = sql.qualified(level.schema, name)

            def say(number: int, spelt: str = spelt) -> None:
                if progress is not None:
                    progress(spelt, number)

            yield drain_bound(hand, level, level.default, name, bound, batch, say)


def _homes(hand: Attempts, level: Level, moment: datetime) -> Iterator[Bound]:
    """
    The partitions for which the default one holds rows, one after the other.
    """
    default, grid = level.default, level.grid
    assert default is not None  # asked before
    if grid is None:
        for bound in level.missing(moment):
            condition = bound.check(level.column)
            if condition and _first(hand, level, condition) is not None:
                yield bound
        return
    ranges, cutoff = sorted_ranges(level.bounds), level.cutoff(moment)
    condition = f"{level.column} IS NOT NULL"
    if grid.kind in LAST:
        condition += (
            f" AND pg_catalog.isfinite({level.column}) AND {level.column} < '{LAST[grid.kind]}'"
        )
        if grid.kind != "date":
            condition += f" AND {level.column} >= '0001-01-02'"
    after = ""
    while (value := _first(hand, level, condition + after)) is not None:
        (piece,) = (each for each in grid.cell(value).minus(ranges) if each.holds(value))
        if not expired(piece, cutoff):
            yield piece
        if piece.upper is None:
            return
        after = f" AND {level.column} >= {typed(piece.upper)}"


def _first(hand: Attempts, level: Level, condition: str) -> Any:
    """
    The least key in the default partition; ``min`` knows no uuid before PostgreSQL 18.
    """
    assert level.default is not None  # asked before
    query = (
        f"SELECT {level.column} FROM {level.default.spelt} WHERE {condition} "  # noqa: S608  # quoted
        f"ORDER BY {level.column} LIMIT 1"
    )
    with hand.transaction(patient=True) as connection:
        return connection.execute(sql.statement(query)).scalar()


def _name(hand: Attempts, level: Level, bound: Bound) -> str:
    """
    The partition's name; that of a copy which was begun and broke off is no stranger's.
    """
    name = child_name(level.name, bound, level.rules, level.grid)
    with hand.transaction(patient=True) as connection:
        return free_name(name, taken(connection, level, [name]))
