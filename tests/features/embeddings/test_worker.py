from __future__ import annotations

import asyncio
import datetime as dt
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.features.embeddings import (
    EmbeddingWorker,
    Worked,
    queue_status,
    retry_failed,
)
from pgultra.features.embeddings.troubles import Attempt, default_wait
from tests.features.embeddings.counting import Length, all_true, at_once, fill
from tests.features.embeddings.sample import Article, Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

STATE = Base.metadata.tables["article_embedding_state"]


async def test_async_engines_too(engine: sa.Engine, database: Database) -> None:
    """
    The same worker on asyncpg; an embedder with a coroutine is awaited.
    """
    Base.metadata.create_all(engine)
    fill(engine, 5)

    class Coroutine(Length):
        async def embed_async(self, texts: Sequence[str]) -> list[list[float]]:
            return self.embed(texts)

    other = database.async_engine()
    assert (await EmbeddingWorker(other, Length(), Article.embedding, batch=2).work_async()) == (
        Worked(embedded=5)
    )
    with engine.begin() as connection:
        connection.execute(sa.update(Article).values(title="t"))
    worker = EmbeddingWorker(other, Coroutine(), Article.embedding, wait=at_once)
    worker.embedder.broken = {"t\n\n"}  # type: ignore[attr-defined]
    assert (await worker.work_once_async()).failed == 5
    worker.embedder.broken = set()  # type: ignore[attr-defined]
    assert (await worker.work_async()).embedded == 5
    assert all_true(engine)
    async with other.connect() as connection:
        assert (await queue_status(connection, Article.embedding)).done


def test_no_transaction_is_open_while_the_embedder_runs(engine: sa.Engine) -> None:
    """
    And a text that changes meanwhile is not overwritten by the vector of the old one.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)

    class Meddling(Length):
        def embed(self, texts: Sequence[str]) -> list[list[float]]:
            if not self.seen:
                with engine.begin() as connection:
                    busy = sa.text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                        " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
                        " AND backend_type = 'client backend'"
                    )
                    assert connection.scalar(busy) == 0
                    connection.execute(
                        sa.update(Article).where(Article.id == 1).values(title="later")
                    )
            return super().embed(texts)

    worker = EmbeddingWorker(engine, Meddling(), Article.embedding)
    assert worker.work_once() == Worked(embedded=1, changed=1)
    with Session(engine) as session:
        assert session.get_one(Article, 1).embedding is None
    assert worker.work() == Worked(embedded=1)
    assert all_true(engine)


def test_an_error_is_kept_and_tried_again(engine: sa.Engine) -> None:
    """
    One bad row does not hold up the others for long, and is given up at last.
    """
    Base.metadata.create_all(engine)
    fill(engine, 5)
    embedder = Length()
    embedder.broken = {"title 3\n\nxxx"}
    worker = EmbeddingWorker(engine, embedder, Article.embedding, most_attempts=3, wait=at_once)
    done = worker.work()
    assert done.embedded == 4
    with engine.begin() as connection:
        status = queue_status(connection, Article.embedding)
        assert (status.waiting, status.failed, status.embedded) == (0, 1, 4)
        assert "cannot read title 3" in str(
            connection.scalar(sa.select(STATE.c.error).where(STATE.c.key_0 == 3))
        )
        assert retry_failed(connection, Article.embedding) == 1
    embedder.broken = set()
    assert worker.work() == Worked(embedded=1)
    assert all_true(engine)


def test_attempts_wait_longer_and_longer(engine: sa.Engine) -> None:
    """
    As long as the strategy says, each row by its own attempts.
    """
    Base.metadata.create_all(engine)
    fill(engine, 1)
    embedder = Length()
    embedder.broken = {"title 0\n\n"}
    worker = EmbeddingWorker(
        engine, embedder, Article.embedding, wait=lambda attempt: 600 * attempt.attempt_number
    )
    for number in (1, 2):
        assert worker.work_once() == Worked(failed=1)
        assert worker.work_once() == Worked()
        with engine.begin() as connection:
            later = connection.scalar(sa.select(STATE.c.available_at - sa.func.now()))
            assert abs(later - dt.timedelta(minutes=10 * number)) < dt.timedelta(minutes=5)
            connection.execute(sa.update(STATE).values(available_at=sa.func.now()))


def test_by_itself_it_waits_up_to_twice_as_long_each_time() -> None:
    """
    By tenacity's strategy: at random, so that workers do not come all at once.
    """
    wait = default_wait()
    for number in (1, 2, 5):
        waits = [wait(Attempt(number)) for _ in range(500)]
        assert 2**number / 2 < max(waits) <= 2**number
        assert min(waits) < 2**number / 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_worker_waits_for_nobody_while_it_keeps_rows(
    database: Database, asynchronous: bool
) -> None:
    """
    A host that holds a row of the batch, and then wants another one, is in no deadlock.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 5)

    def work() -> Worked:
        if asynchronous:
            worker = EmbeddingWorker(database.async_engine(), Length(), Article.embedding)
            return asyncio.run(worker.work_async())
        return EmbeddingWorker(engine, Length(), Article.embedding).work()

    written = sa.select(sa.func.count()).where(Article.embedding.is_not(None))
    with ThreadPoolExecutor(1) as pool, engine.connect() as host:
        held = sa.select(Article.id).where(Article.id == 2).with_for_update()
        host.execute(held)
        future = pool.submit(work)
        while not future.done() and host.scalar(written) < 4:
            time.sleep(0.01)
        host.execute(sa.update(Article).where(Article.id == 1).values(title="changed"))
        host.commit()
        done = future.result()
    assert done.embedded == 6  # one of them twice
    assert all_true(engine)


@pytest.mark.slow
def test_two_workers_and_a_busy_host(database: Database) -> None:
    """
    Four workers on one queue while rows change: all end with the vector of the latest text.
    """
    engine = database.engine(pool_size=10)
    Base.metadata.create_all(engine)
    fill(engine, 60)
    stop = threading.Event()
    embedders = [Length(0.002) for _ in range(4)]
    errors: list[BaseException] = []

    def work(embedder: Length) -> None:
        try:
            EmbeddingWorker(engine, embedder, Article.embedding, batch=7).run(pause=0.01, stop=stop)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in embedders]
    for thread in threads:
        thread.start()
    choice = random.Random(3)
    for n in range(150):
        with engine.begin() as connection:
            some = choice.sample(range(60), 3)
            connection.execute(
                sa.update(Article).where(Article.id.in_(some)).values(title=f"new {n}")
            )
    for _ in range(500):
        with engine.connect() as connection:
            if queue_status(connection, Article.embedding).done:
                break
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert all_true(engine)


def test_each_row_is_embedded_once_by_two_workers(database: Database) -> None:
    """
    Without changes no text is embedded twice.
    """
    engine = database.engine(pool_size=10)
    Base.metadata.create_all(engine)
    fill(engine, 80)
    embedder = Length(0.002)
    threads = [
        threading.Thread(target=EmbeddingWorker(engine, embedder, Article.embedding, batch=5).work)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(embedder.seen.values()) == {1}
    assert len(embedder.seen) == 80
    assert all_true(engine)


PROGRAM = """
import datetime, sys, time
import sqlalchemy as sa
from pgultra.features.embeddings import EmbeddingWorker
from tests.features.embeddings.sample import Article
from tests.features.embeddings.counting import Length

class Slow(Length):
    def embed(self, texts):
        print("embedding", flush=True)
        return super().embed(texts)

engine = sa.create_engine(sys.argv[1])
EmbeddingWorker(engine, Slow(float(sys.argv[2])), Article.embedding, batch=4,
    lease=datetime.timedelta(seconds=1)).work()
"""


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.005, 30])
def test_a_killed_worker_loses_nothing(database: Database, pause: float) -> None:
    """
    kill -9 at any point: another worker finishes, and nothing is embedded from stale text.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 40)
    url = database.url.render_as_string(hide_password=False)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, str(pause)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with engine.begin() as connection:
            connection.execute(sa.update(Article).where(Article.id == 5).values(title="new"))
    worker = EmbeddingWorker(engine, Length(), Article.embedding)
    for _ in range(100):
        worker.work()
        with engine.connect() as connection:
            if queue_status(connection, Article.embedding).done:
                break
        time.sleep(0.1)
    assert all_true(engine)


def test_texts_without_a_word_get_no_vector(engine: sa.Engine) -> None:
    """
    The embedder is not asked, and the vector is NULL.
    """
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Article(id=1, title=" ", embedding=[1, 2, 3]))
        session.commit()
    embedder = Length()
    assert EmbeddingWorker(engine, embedder, Article.embedding).work() == Worked(embedded=1)
    assert not embedder.seen
    with Session(engine) as session:
        assert session.get_one(Article, 1).embedding is None
