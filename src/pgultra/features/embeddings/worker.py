"""
The worker: takes stale rows, embeds their text, writes the vectors back.

No transaction is open while the embedder runs. A lease that ends by itself, a token for
each attempt, and a compare-and-swap on the text's hash make it safe to kill at any point
and to run as many as one likes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from pgultra.features.embeddings.job import texts_of, vectors_for
from pgultra.features.embeddings.mixture import insist_on_declared, insist_on_same_model
from pgultra.features.embeddings.splitting import chunks_of
from pgultra.features.embeddings.troubles import (
    REFUSALS,
    Attempt,
    Unreadable,
    default_wait,
    insist_on_options,
    insist_on_some,
    of_the_row,
    pause_asked_by,
    told,
)
from pgultra.features.embeddings.version import queue_of
from pgultra.features.embeddings.worked import Worked
from pgultra.plan.options import seconds

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pgultra.features.embeddings.embedder import Embedder
    from pgultra.features.embeddings.job import Job
    from pgultra.features.embeddings.queue import Queue

__all__ = ["EmbeddingWorker", "Worked"]

log = logging.getLogger("pgultra.embeddings")

LEVEL = "READ COMMITTED"
"""Whatever the engine does otherwise: rows that are locked are to be as they are now, and in
AUTOCOMMIT a lock would be gone before what it is for is written."""

LOOK_AGAIN = 300.0
"""Seconds between two looks for vectors of another model, each of which reads the state table."""


class EmbeddingWorker:
    """
    Embeds what is stale, on a sync or an async engine.

    A row that fails waits, longer each time, and then comes alone. A row that cannot be
    written keeps its own error, and the others of its batch are written. An error of the
    embedder that has ``retry_after``, a number of seconds, is no row's fault: the rows wait
    for so long, a day at most, the attempt is not counted, and this worker asks the embedder
    for nothing until then.

    Args:
        engine: an Engine for ``work``, an AsyncEngine for ``work_async``.
        embedder: what makes vectors; its dimensions must be those of the column.
        column: the vector column, with a source.
        batch: how many texts the embedder gets at once.
        lease: for how long a batch is nobody else's; longer than the embedder ever takes.
        most_attempts: after so many a row is kept as failed, with its error; with 1, so is a
            whole batch that one bad text spoils.
        wait: a wait strategy of tenacity for the time between two attempts of a row; by
            default random up to 2 seconds, 4, 8 and so on to an hour.

    Raises:
        DeclarationError: the column has no source, or other dimensions than the embedder, or
            declares another model; or an option takes something else. Where no model is
            declared, working raises it if fresh rows have vectors of another one.

    Example:
        >>> worker = EmbeddingWorker(engine, HashingEmbedder(384),
        ...     Article.embedding)  # doctest: +SKIP
        >>> worker.work()  # doctest: +SKIP
        Worked(embedded=128, changed=0, failed=0, split=0)
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        embedder: Embedder,
        column: Any,  # Article.embedding, or a column of a table
        *,
        batch: int = 64,
        lease: dt.timedelta = dt.timedelta(minutes=5),
        most_attempts: int = 8,
        wait: Callable[[Any], float] | None = None,
    ) -> None:
        insist_on_options(engine, embedder, batch, lease, most_attempts, wait)
        own: Any = engine.execution_options(isolation_level=LEVEL)  # the same pool
        self.engine = own
        self.embedder = embedder
        self.queue = queue_of(column)
        self.chunks = chunks_of(self.queue.table)
        self.batch = batch
        self.lease = lease
        self.most_attempts = most_attempts
        self.wait = wait if wait is not None else default_wait()
        self._rests_until = 0.0
        self._looked = -LOOK_AGAIN
        insist_on_declared(self.queue, embedder)

    # -- sync ---------------------------------------------------------------------------------

    def work(self) -> Worked:
        """
        Embed until nothing is due, or until the embedder wants to be left alone.
        """
        done = Worked()
        while step := self.work_once():
            done += step
        return done

    def work_once(self) -> Worked:
        """
        Take one batch, if one is due; parents that wait to be split come first.
        """
        return (self._split_once() if self.chunks is not None else None) or self._embed_once()

    def _split_once(self) -> Worked:
        assert self.chunks is not None
        queue = self.chunks.queue(self.queue.table)
        with self.engine.begin() as connection:
            token, jobs, hidden = self._claim(connection, queue)
        if not jobs:
            return Worked(failed=hidden)
        with self._held(queue, token):
            try:
                pieces = [self.chunks.pieces(job.text) for job in jobs]
            except Exception as error:  # whatever a host's splitter raises
                log.warning("splitting %d rows failed: %s", len(jobs), told(error))
                with self.engine.begin() as connection:
                    self._give_back(connection, queue, token, jobs, error)
                return Worked(failed=len(jobs) + hidden)
            written, bad = self._write(queue, token, jobs, pieces, self.chunks.name)
        return Worked(0, len(jobs) - written - bad, bad + hidden, written)

    def _embed_once(self) -> Worked:
        if self._rests():
            return Worked()
        with self.engine.begin() as connection:
            token, jobs, hidden = self._claim(connection, self.queue)
        if not jobs:
            return Worked(failed=hidden)
        with self._held(self.queue, token):
            try:
                vectors = self._checked(jobs, self.embedder.embed(texts_of(jobs)))
            except Exception as error:  # whatever a host's embedder raises
                log.warning("embedding %d rows failed: %s", len(jobs), told(error))
                with self.engine.begin() as connection:
                    self._give_back(connection, self.queue, token, jobs, error)
                return Worked(failed=len(jobs) + hidden)
            written, bad = self._write(self.queue, token, jobs, vectors, self.embedder.model)
        return Worked(written, len(jobs) - written - bad, bad + hidden)

    @contextmanager
    def _held(self, queue: Queue, token: uuid.UUID) -> Iterator[None]:
        """
        Give rows back where somebody wants to stop: nobody shall wait for the lease to end.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C
                with self.engine.begin() as connection:
                    queue.release(connection, token)
            raise

    def _write(
        self,
        queue: Queue,
        token: uuid.UUID,
        jobs: Sequence[Job],
        results: Sequence[Any],
        model: str,
    ) -> tuple[int, int]:
        """
        How many rows were written, and how many could not be, which keep their errors.

        Where the batch cannot be written as one, each row gets a transaction of its own.
        """
        errors: list[Exception] = []
        try:
            with self.engine.begin() as connection:
                written, left = queue.write_free(connection, token, jobs, results, model)
        except REFUSALS as error:
            written, left = 0, self._each(error, jobs, results)
        for job, result in left:
            try:
                with self.engine.begin() as connection:
                    written += queue.write(connection, token, [job], [result], model)
            except REFUSALS as error:
                errors.append(self._refused(error, job))
                with self.engine.begin() as connection:
                    self._give_back(connection, queue, token, [job], error)
        insist_on_some(errors, [job.attempts for job in jobs])
        return written, len(errors)

    def run(self, *, pause: float = 1.0, stop: threading.Event | None = None) -> Worked:
        """
        Work on, and look for new rows every so many seconds, until told to stop.

        Args:
            pause: seconds between two looks at an empty queue.
            stop: set it from another thread or a signal handler; the batch at hand is
                finished first.

        Raises:
            DeclarationError: the pause is no number of seconds.
        """
        seconds("EmbeddingWorker.run", "pause", pause)
        told = stop if stop is not None else threading.Event()
        done = Worked()
        while not told.is_set():
            step = self.work_once()
            done += step
            if not step:
                told.wait(pause)
        return done

    # -- async --------------------------------------------------------------------------------

    async def work_async(self) -> Worked:
        """
        Embed until nothing is due, or the embedder wants to be left alone, on an AsyncEngine.
        """
        done = Worked()
        while step := await self.work_once_async():
            done += step
        return done

    async def work_once_async(self) -> Worked:
        """
        Take one batch, if one is due, on an AsyncEngine.
        """
        split = await self._split_once_async() if self.chunks is not None else None
        return split or await self._embed_once_async()

    async def _split_once_async(self) -> Worked:
        assert self.chunks is not None
        queue = self.chunks.queue(self.queue.table)
        async with self.engine.begin() as connection:
            token, jobs, hidden = await connection.run_sync(self._claim, queue)
        if not jobs:
            return Worked(failed=hidden)
        async with self._held_async(queue, token):
            try:
                pieces = [self.chunks.pieces(job.text) for job in jobs]
            except Exception as error:  # whatever a host's splitter raises
                log.warning("splitting %d rows failed: %s", len(jobs), told(error))
                async with self.engine.begin() as connection:
                    await connection.run_sync(self._give_back, queue, token, jobs, error)
                return Worked(failed=len(jobs) + hidden)
            written, bad = await self._write_async(queue, token, jobs, pieces, self.chunks.name)
        return Worked(0, len(jobs) - written - bad, bad + hidden, written)

    async def _embed_once_async(self) -> Worked:
        if self._rests():
            return Worked()
        async with self.engine.begin() as connection:
            token, jobs, hidden = await connection.run_sync(self._claim, self.queue)
        if not jobs:
            return Worked(failed=hidden)
        texts = texts_of(jobs)
        async with self._held_async(self.queue, token):
            try:
                by_itself = getattr(self.embedder, "embed_async", None)
                if by_itself is not None:
                    made = await by_itself(texts)
                else:
                    made = await asyncio.to_thread(self.embedder.embed, texts)
                vectors = self._checked(jobs, made)
            except Exception as error:  # whatever a host's embedder raises
                log.warning("embedding %d rows failed: %s", len(jobs), told(error))
                async with self.engine.begin() as connection:
                    await connection.run_sync(self._give_back, self.queue, token, jobs, error)
                return Worked(failed=len(jobs) + hidden)
            model = self.embedder.model
            written, bad = await self._write_async(self.queue, token, jobs, vectors, model)
        return Worked(written, len(jobs) - written - bad, bad + hidden)

    @asynccontextmanager
    async def _held_async(self, queue: Queue, token: uuid.UUID) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception):  # cancelled, by some frameworks again and again
                await asyncio.shield(self._release_async(queue, token))
            raise

    async def _release_async(self, queue: Queue, token: uuid.UUID) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(queue.release, token)

    async def _write_async(
        self,
        queue: Queue,
        token: uuid.UUID,
        jobs: Sequence[Job],
        results: Sequence[Any],
        model: str,
    ) -> tuple[int, int]:
        errors: list[Exception] = []
        begin = self.engine.begin
        try:
            async with begin() as connection:
                free = await connection.run_sync(queue.write_free, token, jobs, results, model)
                written, left = free
        except REFUSALS as error:
            written, left = 0, self._each(error, jobs, results)
        for job, result in left:
            try:
                async with begin() as connection:
                    written += await connection.run_sync(queue.write, token, [job], [result], model)
            except REFUSALS as error:
                errors.append(self._refused(error, job))
                async with begin() as connection:
                    await connection.run_sync(self._give_back, queue, token, [job], error)
        insist_on_some(errors, [job.attempts for job in jobs])
        return written, len(errors)

    # -- both ---------------------------------------------------------------------------------

    def _claim(self, connection: Any, queue: Queue) -> tuple[uuid.UUID, list[Job], int]:
        """
        Lease a batch; rows that cannot be read are given back with an error, and counted.
        """
        token, jobs = queue.claim(connection, self.batch, self.lease, self.most_attempts)
        if jobs and queue is self.queue and time.monotonic() - self._looked >= LOOK_AGAIN:
            insist_on_same_model(connection, queue, self.embedder)  # an error gives them back
            self._looked = time.monotonic()
        hidden = [job for job in jobs if job.hidden]
        if hidden:
            error = Unreadable(queue.table)
            log.warning("%d rows: %s", len(hidden), error)
            self._give_back(connection, queue, token, hidden, error)
        return token, [job for job in jobs if not job.hidden], len(hidden)

    def _checked(self, jobs: Sequence[Job], made: Sequence[Any]) -> list[Any]:
        return vectors_for(jobs, made, self.embedder.model, self.queue.type_.packer())

    def _rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def _each(
        self, error: Exception, jobs: Sequence[Job], results: Sequence[Any]
    ) -> list[tuple[Job, Any]]:
        """
        All rows, to be written one by one; unless the error is of none of them.
        """
        if not of_the_row(error):
            raise error
        return list(zip(jobs, results, strict=True))

    def _refused(self, error: Exception, job: Job) -> Exception:
        if not of_the_row(error):
            raise error
        log.warning("writing row %s failed: %s", job.key, told(error))
        return error

    def _give_back(
        self, connection: Any, queue: Queue, token: uuid.UUID, jobs: Sequence[Job], error: Exception
    ) -> None:
        """
        Later, by the strategy; or as late as an endpoint asked for, and that is no attempt.
        """
        asked = pause_asked_by(error) if queue is self.queue else 0.0
        if asked:
            self._rests_until = time.monotonic() + asked
        pause = asked or self.wait(Attempt(max(job.attempts for job in jobs)))
        later, most = dt.timedelta(seconds=pause), self.most_attempts
        queue.fail(connection, token, jobs, told(error), later, None if asked else most)
