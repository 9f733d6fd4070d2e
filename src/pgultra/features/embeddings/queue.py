"""
The queue that the state table is: what the worker asks of it, one short transaction each.

Written for a Connection; the worker runs the same functions through ``run_sync`` on an
AsyncConnection.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    LargeBinary,
    MetaData,
    Table,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy import column as column_

from pgultra.features.embeddings.job import Job
from pgultra.features.embeddings.queries import resolved
from pgultra.features.embeddings.state import (
    content,
    hash_of,
    sources,
    state_table,
    text_of,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, FromClause

__all__ = ["Queue"]

CHANGED = "a trigger of the table changed the text as the vector was written"
"""The error of rows whose UPDATE, which writes the vector, makes them stale again."""

MOST_PARAMETERS = 30_000
"""Of a statement; asyncpg takes 32,767, psycopg twice as many."""

KEPT = "the row kept its old vector: a policy of row security or a trigger let no update through"
"""The error of rows that an UPDATE passed over."""


class Queue:
    """
    The state table of one column, as statements.
    """

    def __init__(self, column: Any) -> None:  # Article.embedding, or a column of a table
        expression, self.type_ = resolved(column)
        self.table: Table = expression.table
        self.column: Column[Any] = self.table.c[expression.key]
        self.text = content(self.column)
        self._look_after(self.table, state_table(self.column))
        self._bare = _bare(self.table, {*self.keys, *sources(self.column), self.column})

    def _look_after(self, table: Table, state: Table) -> None:
        """
        Say whose rows wait, and where that is noted; ``text`` was said before.
        """
        self.table, self.state = table, state
        self.hash = hash_of(self.text)
        self.keys = list(self.table.primary_key)
        self.own = [self.state.c[f"key_{number}"] for number, _ in enumerate(self.keys)]
        self.waits = and_(self.state.c.stale_since.is_not(None), self.state.c.failed_at.is_(None))

    def claim(
        self, connection: Connection, size: int, lease: dt.timedelta, most_attempts: int
    ) -> tuple[uuid.UUID, list[Job]]:
        """
        Lease rows that are due, those first that are so for longest, past what others hold.

        A row that failed before, or whose lease ran out, comes alone, so that it takes no
        others down with it. What an endpoint sent back with ``retry_after`` did not fail.
        """
        state, token = self.state, uuid.uuid4()
        self._give_up(connection, most_attempts)
        due = (
            select(*self.own, state.c.attempts)
            .where(self.waits, state.c.available_at <= func.now())
            .order_by(state.c.available_at)
            .limit(size)
            .with_for_update(skip_locked=True)
        )
        found = connection.execute(due).all()
        if found and found[0].attempts:
            found = found[:1]
        else:
            found = [row for row in found if not row.attempts]
        if not found:
            return token, []
        jobs: list[Job] = []
        for some in self._slices([tuple(row)[:-1] for row in found]):
            these = self._any_of(self.own, some)
            connection.execute(
                update(state)
                .where(these)
                .values(lease=token, available_at=func.now() + lease, attempts=state.c.attempts + 1)
            )
            texts = (
                select(*self.own, self.text, self.hash, state.c.attempts, self.keys[0].is_(None))
                .select_from(state.outerjoin(self.table, self._same()))
                .where(these, state.c.lease == token)
                .order_by(*self.own)
            )
            jobs += [
                Job(tuple(row)[:-4], row[-4], bytes(row[-3]), row[-2], row[-1])
                for row in connection.execute(texts)
            ]
        return token, jobs

    def _give_up(self, connection: Connection, most_attempts: int) -> None:
        """
        Rows whose lease ran out time after time have failed too.
        """
        state = self.state
        self._change(
            connection,
            and_(
                self.waits,
                state.c.attempts >= most_attempts,
                state.c.available_at <= func.now(),
            ),
            failed_at=func.now(),
            lease=None,
            error=func.coalesce(
                state.c.error, "the lease ran out each time: the worker died or was too slow"
            ),
        )

    def _change(
        self, connection: Connection, condition: ColumnElement[bool], **changed: Any
    ) -> None:
        """
        Note something of rows, past those whose text is being changed, which are noted anew.

        Who waited for one of them while keeping others could be in a deadlock with the host.
        """
        free = select(*self.own).where(condition).with_for_update(skip_locked=True)
        for some in self._slices([tuple(row) for row in connection.execute(free)]):
            connection.execute(
                update(self.state).where(self._any_of(self.own, some)).values(**changed)
            )

    def write_free(
        self,
        connection: Connection,
        token: uuid.UUID,
        jobs: Sequence[Job],
        results: Sequence[Any],
        model: str,
    ) -> tuple[int, list[tuple[Job, Any]]]:
        """
        Write what belongs to rows that nobody holds.

        Returns:
            how many were written, and what is left, to be written one by one: who waits for
            a row while keeping others could be in a deadlock with the host.
        """
        written, left = 0, []
        for some in self._slices(list(zip(jobs, results, strict=True))):
            kept = self._lock(connection, [job for job, _ in some], skip_locked=True)
            left += [pair for pair in some if pair[0].key not in kept]
            now = [pair for pair in some if pair[0].key in kept]
            if now:
                written += self.write(
                    connection, token, [job for job, _ in now], [result for _, result in now], model
                )
        return written, left

    def write(
        self,
        connection: Connection,
        token: uuid.UUID,
        jobs: Sequence[Job],
        vectors: Sequence[Any],
        model: str,
    ) -> int:
        """
        Write vectors where the text is still the one that was embedded, and the lease ours.
        """
        rows, bare = self._rows(jobs, vectors), self._bare
        keys = [bare.c[key.key] for key in self.keys]
        text = text_of([bare.c[each.key] for each in sources(self.column)])
        self._lock(connection, jobs)
        same = and_(*(own == key for own, key in zip(self.own, keys, strict=True)))
        leased = select(literal(1)).where(same, self.state.c.lease == token).correlate(bare)
        written = connection.execute(
            update(bare)
            .where(self._equal(keys, rows), hash_of(text) == rows.c.hash, leased.exists())
            .values({self.column.key: cast(rows.c.embedding, self.column.type)})
            .returning(*keys)
        ).all()
        self._done(connection, token, jobs, {tuple(key) for key in written}, model)
        return len(written)

    def _lock(
        self, connection: Connection, jobs: Sequence[Job], *, skip_locked: bool = False
    ) -> set[tuple[Any, ...]]:
        """
        Keep the rows' texts as they are until the transaction ends; gives the keys of the rows.
        """
        kept = connection.execute(
            select(*self.keys)
            .where(self._any_of(self.keys, [job.key for job in jobs]))
            .order_by(*self.keys)
            .with_for_update(key_share=True, skip_locked=skip_locked)
        )
        return {tuple(row) for row in kept}

    def _done(
        self,
        connection: Connection,
        token: uuid.UUID,
        jobs: Sequence[Job],
        written: set[tuple[Any, ...]],
        model: str,
    ) -> None:
        """
        Note what is fresh now; where the text changed meanwhile, the row waits again.

        A change that the triggers saw ended the lease. What is still leased and was not written
        is tried again as often as an error is.
        """
        state = self.state
        fresh = [(job.key, job.hash) for job in jobs if job.key in written]
        if fresh and self._mark_fresh(connection, token, fresh, model) < len(fresh):
            self._count(connection, [key for key, _ in fresh], max(job.attempts for job in jobs))
        connection.execute(
            update(state)
            .where(state.c.lease == token, self._any_of(self.own, [job.key for job in jobs]))
            .values(lease=None, available_at=func.now(), error=KEPT)
        )

    def _mark_fresh(
        self,
        connection: Connection,
        token: uuid.UUID,
        fresh: Sequence[tuple[tuple[Any, ...], bytes]],
        model: str,
    ) -> int:
        state = self.state
        names = [column_(f"key_{n}", key.type) for n, key in enumerate(self.keys)]
        rows = values(*names, column_("hash", LargeBinary), name="pgultra_fresh").data(
            [(*key, digest) for key, digest in fresh]
        )
        return connection.execute(
            update(state)
            .where(self._equal(self.own, rows), state.c.lease == token)
            .values(
                stale_since=None,
                lease=None,
                attempts=0,
                error=None,
                content_hash=rows.c.hash,
                model=model,
                embedded_at=func.now(),
            )
        ).rowcount

    def _count(
        self, connection: Connection, keys: Sequence[tuple[Any, ...]], attempts: int
    ) -> None:
        """
        Rows that wait anew since our own UPDATE: once is well, for ever would have no end.
        """
        state = self.state
        connection.execute(
            update(state)
            .where(self._any_of(self.own, keys), self.waits, state.c.lease.is_(None))
            .values(attempts=attempts, error=CHANGED)
        )

    def release(self, connection: Connection, token: uuid.UUID) -> None:
        """
        Give rows back untouched: somebody wants to stop.
        """
        self._change(
            connection,
            self.state.c.lease == token,
            lease=None,
            available_at=func.now(),
            attempts=self.state.c.attempts - 1,
        )

    def fail(
        self,
        connection: Connection,
        token: uuid.UUID,
        jobs: Sequence[Job],
        error: str,
        wait: dt.timedelta,
        most_attempts: int | None,
    ) -> None:
        """
        Give rows back after an error: later, or never when that was the last attempt.

        Where there is no most, the attempt is not counted.
        """
        attempts = self.state.c.attempts
        last = attempts >= most_attempts if most_attempts is not None else false()
        for some in self._slices([job.key for job in jobs]):
            self._change(
                connection,
                and_(self.state.c.lease == token, self._any_of(self.own, some)),
                lease=None,
                error=error,
                available_at=func.now() + wait,
                attempts=attempts if most_attempts is not None else attempts - 1,
                failed_at=case((last, func.now()), else_=None),
            )

    def _rows(self, jobs: Sequence[Job], vectors: Sequence[Any]) -> FromClause:
        names = [column_(f"key_{n}", key.type) for n, key in enumerate(self.keys)]
        return values(
            *names,
            column_("hash", LargeBinary),
            column_("embedding", self.column.type),
            name="pgultra_embedded",  # a host may have a table of any other name
        ).data([(*job.key, job.hash, vector) for job, vector in zip(jobs, vectors, strict=True)])

    def _slices(self, rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """
        So many rows at once as one statement takes, with two more parameters for each.
        """
        size = MOST_PARAMETERS // (len(self.keys) + 2)
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def _any_of(
        self, columns: Sequence[Any], keys: Sequence[tuple[Any, ...]]
    ) -> ColumnElement[bool]:
        if len(columns) == 1:
            one: ColumnElement[bool] = columns[0].in_([key[0] for key in keys])
            return one
        return tuple_(*columns).in_(keys)

    def _equal(self, columns: Sequence[Any], rows: FromClause) -> ColumnElement[bool]:
        """
        Whether keys are those of VALUES, where a driver may send a text for an enum.
        """
        return and_(*(c == cast(rows.c[f"key_{n}"], c.type) for n, c in enumerate(columns)))

    def _same(self) -> ColumnElement[bool]:
        pairs = zip(self.own, self.keys, strict=True)
        return and_(*(own == key for own, key in pairs))


def _bare(table: Table, columns: Collection[Column[Any]]) -> Table:
    """
    A table for an UPDATE that changes nothing but what it says: no ``onupdate=`` of the host's.
    """
    bare = [Column(each.name, each.type, key=each.key) for each in table.columns if each in columns]
    return Table(table.name, MetaData(), *bare, schema=table.schema)
