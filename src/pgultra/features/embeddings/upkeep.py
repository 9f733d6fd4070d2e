"""
What a host asks of a queue: how it stands, what is missing, what failed.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from pgultra.bridge import on_connection
from pgultra.errors import sqlstate_of
from pgultra.features.embeddings.mixture import insist_on_one_model
from pgultra.features.embeddings.splitting import chunks_of
from pgultra.features.embeddings.version import queue_of
from pgultra.features.embeddings.worked import QueueStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection, Select

    from pgultra.features.embeddings.queue import Queue

__all__ = ["backfill", "queue_status", "retry_failed"]

BATCH = 50_000
"""Rows that are noted at once; fewer where rows are being deleted."""
PATIENCE = 20
"""So many single rows in a row may be gone; after that it is no deletion."""
GONE = "23503"
"""The SQLSTATE of a foreign key whose row is not there."""


def _queues(column: Any) -> Iterator[tuple[Queue, str | None]]:
    """
    The queue of a column and its model; and of its parents and their splitter.
    """
    queue = queue_of(column)
    yield queue, queue.type_.model
    chunks = chunks_of(queue.table)
    if chunks is not None:
        yield chunks.queue(queue.table), chunks.name


@on_connection
def queue_status(connection: Connection, column: Any) -> QueueStatus:
    """
    Count what waits, what failed and what is done.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column, with a source.

    Raises:
        DeclarationError: the column is no vector column with a source.

    Example:
        >>> queue_status(connection, Article.embedding).waiting  # doctest: +SKIP
        3
    """
    (queue, _), *parents = _queues(column)
    found = _status(connection, queue)
    for splitting, _ in parents:
        unsplit = _status(connection, splitting)
        ages = [each.oldest for each in (found, unsplit) if each.oldest is not None]
        found = replace(
            found,
            unsplit=unsplit.waiting,
            failed=found.failed + unsplit.failed,
            oldest=max(ages, default=None),
        )
    return found


def _status(connection: Connection, queue: Queue) -> QueueStatus:
    state = queue.state
    leased = and_(queue.waits, state.c.lease.is_not(None), state.c.available_at > func.now())
    row = connection.execute(
        select(
            func.count().filter(queue.waits),
            func.count().filter(leased),
            func.count().filter(state.c.failed_at.is_not(None)),
            func.count().filter(state.c.stale_since.is_(None)),
            func.clock_timestamp() - func.min(state.c.stale_since).filter(queue.waits),
        )
    ).one()
    return QueueStatus(*row)


@on_connection
def backfill(
    connection: Connection, column: Any, *, everything: bool = False, dry_run: bool = False
) -> int:
    """
    Put rows into the queue that have no embedding of the declared model yet.

    After an ``Embedding`` with a source was added to a table with rows, after rows were
    loaded with triggers off, and after ``model=`` was changed. It only notes keys; run it
    again at any time. Rows that somebody deletes meanwhile are waited for and left out.
    Without ``model=`` it cannot tell which model is the right one: to change it then, note
    everything.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column, with a source.
        everything: also rows that are fresh.
        dry_run: count only.

    Returns:
        How many rows were put into the queue, or would be.

    Raises:
        DeclarationError: the column is no vector column with a source, or no model is declared
            and fresh rows have vectors of two.

    Example:
        >>> backfill(connection, Article.embedding)  # doctest: +SKIP
        5210
    """
    return sum(
        _note(connection, queue, model, everything=everything, dry_run=dry_run)
        for queue, model in _queues(column)
    )


def _note(
    connection: Connection, queue: Queue, model: str | None, *, everything: bool, dry_run: bool
) -> int:
    state = queue.state
    if model is None and not everything:
        insist_on_one_model(connection, queue)
    wrong: ColumnElement[bool] = state.c.stale_since.is_(None)
    if not everything:
        other = state.c.model.is_distinct_from(model) if model is not None else literal(False)
        wrong = and_(wrong, other)
    missing = state.c.key_0.is_(None)
    rows = (
        select(*queue.keys, func.now()).outerjoin(state, queue._same()).where(or_(missing, wrong))
    )
    if dry_run:
        return connection.scalar(select(func.count()).select_from(rows.subquery())) or 0
    return _put(connection, queue, rows)


def _put(connection: Connection, queue: Queue, rows: Select[Any]) -> int:
    """
    Note rows a batch at a time, without those that are deleted meanwhile.

    The foreign key waits for who deletes a row, and then takes the batch back. A lock on the
    rows would need UPDATE on their table. What was noted is in no later batch.
    """
    noted, size, gone = 0, BATCH, 0
    alone = getattr(connection.connection.dbapi_connection, "autocommit", False)
    while True:
        try:
            with nullcontext() if alone else connection.begin_nested():
                found = _insert(connection, queue, rows.order_by(*queue.keys).limit(size))
        except IntegrityError as error:
            gone += size == 1
            if sqlstate_of(error) != GONE or gone > PATIENCE:
                raise
            size = max(1, size // 2)
            continue
        noted += found
        if found < size:
            return noted
        size, gone = min(BATCH, size * 2), 0


def _insert(connection: Connection, queue: Queue, rows: Select[Any]) -> int:
    state, names = queue.state, [own.name for own in queue.own]
    statement = upsert(state).from_select([*names, "stale_since"], rows)
    statement = statement.on_conflict_do_update(
        index_elements=names,
        set_={
            "stale_since": func.coalesce(state.c.stale_since, func.now()),
            "available_at": func.now(),
            "attempts": 0,
            "lease": None,
        },
    )
    options = {"preserve_rowcount": True}
    return connection.execute(statement, execution_options=options).rowcount


@on_connection
def retry_failed(connection: Connection, column: Any) -> int:
    """
    Put the rows that failed back into the queue.

    Args:
        connection: a Connection, or an AsyncConnection, and then it is to be awaited.
        column: the vector column, with a source.

    Returns:
        How many there were.

    Raises:
        DeclarationError: the column is no vector column with a source.

    Example:
        >>> retry_failed(connection, Article.embedding)  # doctest: +SKIP
        2
    """
    found = 0
    for queue, _ in _queues(column):
        state = queue.state
        statement = (
            update(state)
            .where(state.c.failed_at.is_not(None))
            .values(failed_at=None, attempts=0, available_at=func.now())
        )
        found += connection.execute(statement).rowcount
    return found
