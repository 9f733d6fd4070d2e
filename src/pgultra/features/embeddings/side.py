"""
Queues whose results go to another table than the one that holds the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, and_, delete, func, insert, literal, select, values
from sqlalchemy import column as column_
from sqlalchemy.dialects.postgresql import insert as upsert

from pgultra.features.embeddings.queue import Queue
from pgultra.features.embeddings.state import text_of
from pgultra.plan import facts_of

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from sqlalchemy import Column, Connection, Table

    from pgultra.features.embeddings.job import Job

__all__ = ["SideQueue", "SplitQueue", "VersionQueue"]

HARD = "pgultra.hard_delete"
"""With it, rows that are deleted softly can be deleted."""


class SideQueue(Queue):
    """
    Texts of one table, results in another: written where the text is still the same.
    """

    def __init__(self, table: Table, state: Table, sources: Sequence[Column[Any]]) -> None:
        self.text = text_of(sources)
        self._look_after(table, state)

    def write(
        self,
        connection: Connection,
        token: uuid.UUID,
        jobs: Sequence[Job],
        vectors: Sequence[Any],
        model: str,
    ) -> int:
        """
        Store the results of the rows whose text did not change, and whose lease is ours.
        """
        self._lock(connection, jobs)
        names = [column_(f"key_{n}", key.type) for n, key in enumerate(self.keys)]
        given = values(*names, column_("hash", LargeBinary), name="pgultra_given").data(
            [(*job.key, job.hash) for job in jobs]
        )
        same = self._equal(self.keys, given)
        leased = (
            select(literal(1))
            .where(self._same(), self.state.c.lease == token)
            .correlate(self.table)
        )
        rows = select(*self.keys).join(given, and_(same, self.hash == given.c.hash))
        right = {tuple(row) for row in connection.execute(rows.where(leased.exists()))}
        pairs = [
            (job.key, result) for job, result in zip(jobs, vectors, strict=True) if job.key in right
        ]
        if pairs:
            self.store(connection, pairs)
        self._done(connection, token, jobs, right, model)
        return len(right)

    def store(self, connection: Connection, pairs: Sequence[tuple[tuple[Any, ...], Any]]) -> None:
        """
        Put results to their keys.
        """
        raise NotImplementedError


class VersionQueue(SideQueue):
    """
    Vectors of another model, beside those of the column itself.
    """

    def __init__(
        self, table: Table, state: Table, sources: Sequence[Column[Any]], column: Column[Any]
    ) -> None:
        super().__init__(table, state, sources)
        self.column = column
        self.type_: Any = column.type

    def store(self, connection: Connection, pairs: Sequence[tuple[tuple[Any, ...], Any]]) -> None:
        """
        One row for each key.
        """
        table: Any = self.column.table
        keys = list(table.primary_key)
        rows = [
            {**dict(zip((k.key for k in keys), key, strict=True)), self.column.key: vector}
            for key, vector in pairs
        ]
        statement = upsert(table)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=keys, set_={self.column.key: statement.excluded[self.column.key]}
            ),
            rows,
        )


class SplitQueue(SideQueue):
    """
    Chunks of texts, in a table of their own.
    """

    def __init__(
        self,
        table: Table,
        state: Table,
        sources: Sequence[Column[Any]],
        keys: Sequence[Column[Any]],
        text: Column[Any],
        number: Column[Any] | None,
    ) -> None:
        super().__init__(table, state, sources)
        self.chunks: Any = text.table
        self.references = list(keys)
        self.chunk_text, self.number = text, number

    def store(self, connection: Connection, pairs: Sequence[tuple[tuple[Any, ...], Any]]) -> None:
        """
        The new chunks of each key instead of those that there are.
        """
        old = delete(self.chunks).where(self._any_of(self.references, [key for key, _ in pairs]))
        if facts_of(self.chunks).live is None:
            connection.execute(old)
        else:  # deleted softly; but these go for good, as when their parent's text changes
            before = connection.scalar(select(func.current_setting(HARD, True))) or ""
            connection.execute(select(func.set_config(HARD, "on", True)))
            connection.execute(old)
            connection.execute(select(func.set_config(HARD, before, True)))
        rows = []
        for key, pieces in pairs:
            for number, piece in enumerate(pieces):
                row = dict(zip((each.key for each in self.references), key, strict=True))
                row[self.chunk_text.key] = piece
                if self.number is not None:
                    row[self.number.key] = number
                rows.append(row)
        if rows:
            connection.execute(insert(self.chunks), rows)
