from __future__ import annotations

import datetime as dt
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector import Vector
from sqlalchemy.orm import Session

import pgultra
from pgultra import DeclarationError, plan
from pgultra.features.embeddings import (
    EmbeddingWorker,
    Rules,
    VectorType,
    Worked,
    backfill,
    queue_status,
    retry_failed,
)
from tests.features.embeddings.sample import Article, Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

STATE = Base.metadata.tables["article_embedding_state"]
SOON = dt.timedelta(seconds=1)


class Length:
    """
    Embeds a text as its length, and counts what it was given.
    """

    model = "length"
    dimensions = 3

    def __init__(self, pause: float = 0.0) -> None:
        self.seen: Counter[str] = Counter()
        self.pause = pause
        self.broken: set[str] = set()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        time.sleep(self.pause)
        for text in texts:
            if text in self.broken:
                raise RuntimeError(f"cannot read {text}")
        self.seen.update(texts)
        return [self.vector(text) for text in texts]

    @staticmethod
    def vector(text: str) -> list[float]:
        return [float(len(text)), float(sum(map(ord, text)) % 1000), 1.0]


def at_once(attempt: Any) -> float:
    """
    A wait strategy without a wait.
    """
    return 0.0


def expected(article: Article) -> Vector:
    """
    What the embedder gives for an article's text.
    """
    text = "\n\n".join(part for part in (article.title, article.body) if part is not None)
    return Vector(Length.vector(text))


def all_true(engine: sa.Engine) -> bool:
    """
    Whether every row's vector is that of its latest text.
    """
    with Session(engine) as session:
        return all(a.embedding == expected(a) for a in session.scalars(sa.select(Article)))


def fill(engine: sa.Engine, count: int) -> None:
    """
    Articles without vectors.
    """
    with Session(engine) as session:
        session.add_all(Article(id=n, title=f"title {n}", body="x" * n) for n in range(count))
        session.commit()


def test_what_is_stale_is_known(engine: sa.Engine) -> None:
    """
    New rows and rows whose source changed; not those where something else changed.
    """
    Base.metadata.create_all(engine)
    fill(engine, 3)
    worker = EmbeddingWorker(engine, Length(), Article.embedding)
    with engine.begin() as connection:
        before = queue_status(connection, Article.embedding)
    assert (before.waiting, before.embedded, before.done) == (3, 0, False)
    assert before.oldest is not None
    assert worker.work() == Worked(embedded=3)
    assert all_true(engine)
    with engine.begin() as connection:
        connection.execute(sa.update(Article).values(language="de"))
        connection.execute(sa.update(Article).values(title=Article.title))
        assert queue_status(connection, Article.embedding).done
        connection.execute(sa.update(Article).where(Article.id == 1).values(body=None))
        now = queue_status(connection, Article.embedding)
        assert (now.waiting, now.embedded) == (1, 2)
        connection.execute(sa.delete(Article).where(Article.id == 1))
        assert queue_status(connection, Article.embedding).waiting == 0
    with engine.connect() as connection:
        row = connection.execute(sa.select(STATE).where(STATE.c.key_0 == 0)).one()
        assert (row.model, row.attempts, len(row.content_hash)) == ("length", 0, 32)


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
    By tenacity's strategy unless told otherwise.
    """
    Base.metadata.create_all(engine)
    fill(engine, 1)
    embedder = Length()
    embedder.broken = {"title 0\n\n"}
    worker = EmbeddingWorker(engine, embedder, Article.embedding)
    assert worker.work_once() == Worked(failed=1)
    assert worker.work_once() == Worked()
    with engine.connect() as connection:
        later = connection.scalar(sa.select(STATE.c.available_at - sa.func.now()))
    assert dt.timedelta(0) < later < dt.timedelta(seconds=10)


def test_a_lease_that_runs_out_is_taken_over(engine: sa.Engine) -> None:
    """
    The slow worker's vectors are not written any more, and a row that kills is given up.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)
    queue = EmbeddingWorker(engine, Length(), Article.embedding).queue
    none = dt.timedelta(0)
    with engine.begin() as connection:
        token, jobs = queue.claim(connection, 10, none, 3)
    assert len(jobs) == 2
    assert EmbeddingWorker(engine, Length(), Article.embedding).work() == Worked(embedded=2)
    with engine.begin() as connection:
        wrong = [[9.0, 9.0, 9.0]] * 2
        assert queue.write(connection, token, jobs, wrong, "length") == 0
        connection.execute(sa.update(Article).where(Article.id == 0).values(title="deadly"))
    assert all_true(engine) is False
    for _ in range(3):
        with engine.begin() as connection:
            assert len(queue.claim(connection, 10, none, 3)[1]) == 1
    with engine.begin() as connection:
        assert queue.claim(connection, 10, none, 3)[1] == []
        assert queue_status(connection, Article.embedding).failed == 1
        assert "lease ran out" in str(
            connection.scalar(sa.select(STATE.c.error).where(STATE.c.key_0 == 0))
        )


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
from tests.features.embeddings.test_worker import Length

class Slow(Length):
    def embed(self, texts):
        print("embedding", flush=True)
        return super().embed(texts)

engine = sa.create_engine(sys.argv[1])
EmbeddingWorker(engine, Slow(float(sys.argv[2])), Article.embedding, batch=4,
    lease=datetime.timedelta(seconds=1)).work()
"""


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


def test_backfill_finds_what_is_missing(engine: sa.Engine) -> None:
    """
    Rows from before the triggers, rows of another model, or all of them.
    """
    Base.metadata.create_all(engine)
    fill(engine, 4)
    worker = EmbeddingWorker(engine, Length(), Article.embedding)
    worker.work()
    with engine.begin() as connection:
        assert backfill(connection, Article.embedding) == 0
        connection.execute(sa.delete(STATE).where(STATE.c.key_0 == 1))
        connection.execute(sa.update(STATE).where(STATE.c.key_0 == 2).values(model="older"))
        assert backfill(connection, Article.embedding) == 2
        assert backfill(connection, Article.embedding, everything=True) == 2
        assert queue_status(connection, Article.embedding).waiting == 4
    assert worker.work() == Worked(embedded=4)


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


def test_hostile_names_and_composite_keys(owner_engine: sa.Engine, engine: sa.Engine) -> None:
    """
    Quotes, capitals and percent signs in schema, table, key and sources.
    """
    metadata = sa.MetaData(schema='Sche"ma %')
    table = sa.Table(
        "T%able '" + "x" * 55,
        metadata,
        sa.Column('i"d', sa.Integer, primary_key=True),
        sa.Column("o'ther", sa.Text, primary_key=True, key="other"),
        sa.Column('ti"tle %s', sa.Text, key="title"),
        sa.Column("Em:b", VectorType(3, index=None, source="title"), key="embedding"),
    )
    pgultra.declare(metadata, pgultra.Schema(name='Sche"ma %'))
    pgultra.declare(table, Rules("embedding"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    metadata.create_all(owner_engine)
    with owner_engine.begin() as connection:
        assert not plan.check(connection, metadata)
        connection.execute(
            table.insert(),
            [{'i"d': n, "other": "a'b", "title": f"t{n}"} for n in range(3)],
        )
    worker = EmbeddingWorker(owner_engine, Length(), table.c.embedding)
    assert worker.work() == Worked(embedded=3)
    with owner_engine.begin() as connection:
        connection.execute(table.update().where(table.c['i"d'] == 1).values(title="changed"))
        connection.execute(table.update().where(table.c['i"d'] == 2).values({'i"d': 7}))
        assert queue_status(connection, table.c.embedding).waiting == 1
    assert worker.work() == Worked(embedded=1)


def test_what_does_not_fit_is_refused(engine: sa.Engine) -> None:
    """
    Another model, other dimensions, no source, a source that is no column.
    """
    other = Length()
    other.model = "other"
    with pytest.raises(DeclarationError, match="two models"):
        EmbeddingWorker(engine, other, Article.embedding)
    wide = Length()
    wide.dimensions = 4
    with pytest.raises(DeclarationError, match="makes 4"):
        EmbeddingWorker(engine, wide, Article.embedding)
    with pytest.raises(DeclarationError, match="no source"):
        EmbeddingWorker(engine, Length(), Article.in_half)
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("e", VectorType(3, source="missing")),
    )
    pgultra.declare(table, Rules("e"))
    with pytest.raises(DeclarationError, match="no column 'missing'"):
        plan.collect(table.metadata)
