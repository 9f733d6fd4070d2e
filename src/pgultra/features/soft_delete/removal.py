"""
Removing for good: one object at once, or old deletions batch by batch.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, func, literal, select, text, tuple_
from sqlalchemy.exc import IntegrityError

from pgultra.bridge import on_connection, on_session
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import mapped, turns
from pgultra.features.soft_delete.chart import Chart, earlier, target_of
from pgultra.features.soft_delete.departure import matching, remove
from pgultra.features.soft_delete.edges import mappers_below, root_of
from pgultra.features.soft_delete.model import SoftDelete
from pgultra.features.soft_delete.options import columns_of
from pgultra.features.soft_delete.runtime import identified
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.orm import Session

__all__ = ["Purged", "hard_delete", "purge"]


@dataclass(frozen=True, slots=True)
class Purged:
    """
    What a purge did.

    Attributes:
        removed: rows that are gone, those below included.
        skipped: rows of the target that stay, because live rows or rows of other tables need them
            or what is below them.

    >>> Purged(removed=4) + Purged(removed=1, skipped=1)
    Purged(removed=5, skipped=1)
    """

    removed: int = 0
    skipped: int = 0

    def __add__(self, other: Purged) -> Purged:
        return Purged(self.removed + other.removed, self.skipped + other.skipped)


@on_session
def hard_delete(session: Session, obj: SoftDelete) -> int:
    """
    Remove an object's row for good, with all rows that cascade from it, live and dead.

    Pending changes are flushed first; the rows are removed at once, children first.

    Args:
        session: a Session; with an AsyncSession, await the result.
        obj: the object, in whatever state.

    Returns:
        How many rows are gone.

    Raises:
        sqlalchemy.exc.IntegrityError: rows that do not cascade still refer to one of them.
        PgultraError: the class has no SoftDelete, or the object was never written.

    Example:
        ``soft_delete.hard_delete(session, person)``, when the law wants a person forgotten.
    """
    mapper, identity = identified(obj)
    session.flush()
    root = root_of(mapper)
    table, _ = target_of(root.class_)
    connection = session.connection(bind_arguments={"mapper": root})
    chart = Chart(table)
    turns.alone(connection, mappers_below(root))
    own = matching(list(table.primary_key), [identity])
    keys = list(table.primary_key)
    there = connection.execute(select(*keys).where(own).with_for_update()).first()
    if there is None:
        return 0
    collected = chart.collect(connection, table, [identity])
    assert collected is not None
    chart.remove(connection, collected)
    by_root = {mapped.mapper_of(each): depths for each, depths in collected.depths.items()}
    remove(
        session,
        [
            state
            for state in session.identity_map.all_states()
            if state.key is not None
            and isinstance(state.obj(), SoftDelete)
            and tuple(state.key[1]) in by_root.get(root_of(state.mapper), ())
        ],
    )
    return len(collected)


@on_connection
def purge(
    connection: Connection,
    target: Any,
    *,
    older_than: timedelta | datetime | None = None,
    batch_size: int = 1000,
    progress: Callable[[Purged], object] | None = None,
) -> Purged:
    """
    Remove what was deleted long ago, in batches, children first.

    If the connection is not in a transaction, each batch is committed, and an interrupted
    purge goes on where it was when it is called again. Rows that somebody has locked are
    left for the next time.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        target: a class with SoftDelete, or a Table with Rules.  # either of them: Any
        older_than: how long ago, or before when; the option ``purge_after`` if not said.
        batch_size: rows of the target in one transaction.
        progress: called after each batch with what was done so far.

    Raises:
        DeclarationError: the target is not soft-deletable, or nothing says how old, or it is
            said without a time zone.

    Example:
        ``soft_delete.purge(connection, Article, older_than=timedelta(days=90))``
    """
    table, rules = target_of(target)
    limit = rules.purge_after if older_than is None else older_than
    if limit is None:
        raise DeclarationError(
            f"purge of table {table.fullname}: say older_than=..., or purge_after in its options"
        )
    if not isinstance(limit, timedelta | datetime):
        raise refused(
            f"purge of table {table.fullname}",
            "older_than",
            limit,
            "a timedelta, such as timedelta(days=90), or a datetime",
        )
    if isinstance(limit, datetime) and limit.tzinfo is None:
        raise DeclarationError(
            f"purge of table {table.fullname}: older_than={limit!r} has no time zone: say which, "
            "as in datetime(2026, 1, 1, tzinfo=UTC)"
        )
    if not list(table.primary_key):
        raise DeclarationError(
            f"purge of table {table.fullname}: it has no primary key, which tells its rows apart: "
            "declare one"
        )
    if batch_size < 1:
        raise DeclarationError(f"purge of table {table.fullname}: batch_size={batch_size}")
    at = columns_of(table, rules)["deleted_at"]
    chart, mapper = Chart(table), mapped.mapper_of(table)
    commits = not connection.in_transaction()
    begin: Callable[[], Any] = connection.begin if commits else nullcontext
    done = Purged()
    last: Sequence[Any] | None = None
    before: datetime | None = limit if isinstance(limit, datetime) else None
    while True:
        with begin():
            if before is None:
                before = connection.execute(select(func.now() - limit)).scalar_one()
            if mapper is not None:
                turns.alone(connection, mappers_below(mapper))
            batch = _batch(connection, table, at, before, last, batch_size)
            if not batch:
                return done
            keys = [tuple(row[1:]) for row in batch]
            done += _removed(connection, chart, table, keys, before, set())
        last = tuple(batch[-1])
        if progress is not None:
            progress(done)


def _batch(
    connection: Connection,
    table: Table,
    at: Any,
    before: datetime,
    last: Sequence[Any] | None,
    size: int,
) -> Sequence[Any]:
    """
    The next rows by age, after those that were looked at already.
    """
    columns = [at, *table.primary_key]
    # As text that no setting changes: -infinity has no datetime.
    since = func.btrim(cast(func.to_jsonb(at), Text), '"')
    statement = select(since, *table.primary_key).where(earlier(at, before))
    if last is not None:
        reached = (cast(literal(last[0], Text), at.type), *last[1:])
        statement = statement.where(tuple_(*columns) > tuple_(*reached))
    statement = statement.order_by(*columns).limit(size).with_for_update(skip_locked=True)
    return connection.execute(statement).all()


def _removed(
    connection: Connection,
    chart: Chart,
    table: Table,
    keys: list[tuple[Any, ...]],
    before: datetime,
    gone: set[tuple[Any, ...]],
) -> Purged:
    """
    Remove some rows; if one of them is still needed, halve until it is found.

    Those in ``gone`` went already, below others of the same batch.
    """
    keys = [key for key in keys if key not in gone]
    if not keys:
        return Purged()
    savepoint = connection.begin_nested()
    try:
        collected = chart.collect(connection, table, keys, before)
        if collected is not None:
            chart.remove(connection, collected)
            _check_deferred(connection)
    except IntegrityError:
        collected = None
    except BaseException:
        savepoint.rollback()
        raise
    if collected is not None:
        savepoint.commit()
        gone.update(collected.depths[table])
        return Purged(removed=len(collected))
    savepoint.rollback()
    if len(keys) == 1:
        return Purged(skipped=1)
    half = len(keys) // 2
    return _removed(connection, chart, table, keys[:half], before, gone) + _removed(
        connection, chart, table, keys[half:], before, gone
    )


def _check_deferred(connection: Connection) -> None:
    """
    Let foreign keys that wait for the end of the transaction speak now, and wait again.
    """
    probe = connection.begin_nested()
    try:
        connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    finally:
        probe.rollback()
