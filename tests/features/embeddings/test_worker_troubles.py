from __future__ import annotations

import asyncio
import datetime as dt
import enum
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import pgultra
from pgultra import PgultraError
from pgultra.features.embeddings import (
    Chunks,
    EmbeddingWorker,
    OpenAIEmbedder,
    Rules,
    VectorType,
    Worked,
    backfill,
    queue_status,
    retry_failed,
)
from pgultra.features.embeddings.troubles import pause_asked_by
from tests.features.embeddings.counting import Length, all_true, at_once, fill
from tests.features.embeddings.sample import BLOG, Article, Base
from tests.features.embeddings.test_embedders import Endpoint, endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fixtures.database import Database

__all__ = ["endpoint"]  # a fixture

needs_vector = pytest.mark.needs("vector")

STATE = Base.metadata.tables["article_embedding_state"]
TRIGGER = """
CREATE FUNCTION host() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN IF NEW.id {which} THEN {what}; END IF; RETURN NEW; END$$;
CREATE TRIGGER host BEFORE UPDATE ON article FOR EACH ROW EXECUTE FUNCTION host()
"""


def host_trigger(engine: sa.Engine, what: str, which: str = "= 7") -> None:
    """
    A trigger of the host's on updates of some articles.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(TRIGGER.format(what=what, which=which))


def noted(engine: sa.Engine, key: int) -> Any:
    """
    A row of the state table.
    """
    with engine.connect() as connection:
        return connection.execute(sa.select(STATE).where(STATE.c.key_0 == key)).one()


def status(engine: sa.Engine, column: Any = None) -> tuple[int, int, int]:
    """
    How many wait, failed, and are embedded.
    """
    with engine.connect() as connection:
        found = queue_status(connection, Article.embedding if column is None else column)
    return found.waiting, found.failed, found.embedded


def workers(database: Database, asynchronous: bool, *given: Any, **options: Any) -> Any:
    """
    A function that makes a worker on psycopg or asyncpg and lets it work.
    """
    if not asynchronous:
        return EmbeddingWorker(database.engine(), *given, **options).work

    def work() -> Worked:
        worker = EmbeddingWorker(database.async_engine(), *given, **options)
        return asyncio.run(worker.work_async())

    return work


class Asking(Length):
    """
    Raises until it is told not to, and counts how it was called.
    """

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error
        self.calls: list[int] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.calls.append(len(texts))
        if self.error is not None:
            raise self.error
        return super().embed(texts)


class BusyError(Exception):
    def __init__(self, retry_after: Any = 600) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_row_that_cannot_be_written_keeps_its_own_error(
    database: Database, asynchronous: bool
) -> None:
    """
    The others of its batch are written, and the worker goes on.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 20)
    host_trigger(engine, "RAISE 'archived rows are read-only'")
    embedder = Asking(None)
    options = {"most_attempts": 3, "wait": at_once}
    work = workers(database, asynchronous, embedder, Article.embedding, **options)
    assert work() == Worked(embedded=19, failed=3)
    assert embedder.calls == [20, 1, 1]
    assert status(engine) == (0, 1, 19)
    row = noted(engine, 7)
    assert (row.attempts, row.lease) == (3, None)
    assert "archived rows are read-only" in row.error
    assert "UPDATE article" not in row.error  # nor the vector
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER host ON article")
        assert retry_failed(connection, Article.embedding) == 1
    assert work() == Worked(embedded=1)
    assert all_true(engine)


@needs_vector
def test_a_worker_that_dies_among_single_rows(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What was written stays, and another worker does the rest when the lease ends.
    """
    Base.metadata.create_all(engine)
    fill(engine, 10)
    host_trigger(engine, "RAISE 'read-only'")
    soon = dt.timedelta(milliseconds=200)
    worker = EmbeddingWorker(engine, Length(), Article.embedding, lease=soon)
    write, written = worker.queue.write, []

    def dying(*given: Any) -> int:
        if len(given[2]) == 1:
            written.append(given[2])
            if len(written) == 5:
                raise KeyboardInterrupt
        return write(*given)

    monkeypatch.setattr(worker.queue, "write", dying)
    monkeypatch.setattr(worker.queue, "release", lambda *given: None)  # killed, not stopped
    with pytest.raises(KeyboardInterrupt):
        worker.work()
    assert status(engine) == (6, 0, 4)
    time.sleep(0.3)  # the lease of the first worker ends
    embedder = Asking(None)
    options: Any = {"most_attempts": 3, "wait": at_once}
    other = EmbeddingWorker(engine, embedder, Article.embedding, **options)
    assert other.work() == Worked(embedded=5, failed=2)
    assert set(embedder.seen.values()) == {1, 2}
    assert status(engine) == (0, 1, 9)


@needs_vector
@pytest.mark.parametrize("state", ["40001", "53100", "25006"])
def test_an_error_of_the_server_is_raised(engine: sa.Engine, state: str) -> None:
    """
    It is no row's: nothing is noted, and the rows come back when their lease ends.
    """
    Base.metadata.create_all(engine)
    fill(engine, 10)
    host_trigger(engine, f"RAISE 'not now' USING ERRCODE = '{state}'")
    soon = dt.timedelta(milliseconds=50)
    worker = EmbeddingWorker(engine, Length(), Article.embedding, lease=soon)
    with pytest.raises(sa.exc.DBAPIError, match="not now"):
        worker.work()
    assert status(engine) == (10, 0, 0)
    assert noted(engine, 7).error is None
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER host ON article")
    time.sleep(0.1)  # the rows are due again
    assert EmbeddingWorker(engine, Length(), Article.embedding).work() == Worked(embedded=10)


@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_lack_of_rights_is_raised_once(database: Database, asynchronous: bool) -> None:
    """
    Where no row could be written; a row that is refused alone does not stop the worker again.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 3)
    host_trigger(engine, "RAISE insufficient_privilege", ">= 0")
    options = {"most_attempts": 2, "wait": at_once}
    work = workers(database, asynchronous, Length(), Article.embedding, **options)
    with pytest.raises(sa.exc.DBAPIError, match="insufficient_privilege"):
        work()
    assert noted(engine, 1).attempts == 1
    assert "insufficient_privilege" in noted(engine, 1).error
    assert work() == Worked(failed=3)
    assert status(engine) == (0, 3, 0)


@needs_vector
def test_an_update_that_does_nothing_is_not_tried_for_ever(engine: sa.Engine) -> None:
    """
    A trigger or a policy that passes over the row: it is given up, and the error says why.
    """
    Base.metadata.create_all(engine)
    fill(engine, 10)
    host_trigger(engine, "RETURN NULL")
    options: Any = {"most_attempts": 3, "wait": at_once}
    worker = EmbeddingWorker(engine, Length(), Article.embedding, **options)
    assert worker.work() == Worked(embedded=9, changed=3)
    assert status(engine) == (0, 1, 9)
    assert "kept its old vector" in noted(engine, 7).error


@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_chunk_that_cannot_be_stored(database: Database, asynchronous: bool) -> None:
    """
    Its parent keeps the error; the others are split.
    """
    metadata = sa.MetaData()
    book = sa.Table(
        "book", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text)
    )
    page = sa.Table(
        "page",
        metadata,
        sa.Column("book_id", sa.ForeignKey("book.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="text")),
    )
    odd = {"nul": ["a\0b"], "surrogate": ["\udc80"]}

    def split(text: str) -> list[str]:
        return odd.get(text, [text])

    rules: Any = {"source": "body", "text": "text", "number": "number", "version": "odd"}
    pgultra.declare(page, Rules("embedding"), Chunks(split=split, **rules))
    engine = database.engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        texts = ["one", "nul", "two", "surrogate"]
        connection.execute(book.insert(), [{"id": n, "body": t} for n, t in enumerate(texts)])
    options = {"most_attempts": 1, "wait": at_once}
    work = workers(database, asynchronous, Length(), page.c.embedding, **options)
    assert work() == Worked(embedded=2, failed=2, split=2)
    assert status(engine, page.c.embedding) == (0, 2, 2)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@needs_vector
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("answer: \0\1"), "ValueError: answer: \N{REPLACEMENT CHARACTER}\1"),
        (ValueError("answer: \udc80"), "ValueError: answer: ?"),
        (ValueError("x" * 5000), "ValueError: " + "x" * 1988),
        (Mute(), "Mute: it cannot be shown"),
    ],
    ids=["nul", "surrogate", "long", "mute"],
)
def test_any_error_can_be_noted(engine: sa.Engine, error: Exception, text: str) -> None:
    """
    Whatever its text is.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)
    worker = EmbeddingWorker(engine, Asking(error), Article.embedding, wait=at_once)
    assert worker.work_once() == Worked(failed=2)
    assert noted(engine, 1).error == text


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (30, 30.0),
        (0.5, 0.5),
        (1e13, 86_400.0),
        (10**400, 86_400.0),
        (0, 0.0),
        (-1, 0.0),
        (math.inf, 0.0),
        (math.nan, 0.0),
        (None, 0.0),
        ("30", 0.0),
        (True, 0.0),
    ],
)
def test_only_a_number_of_seconds_is_waited_for(asked: Any, seconds: float) -> None:
    """
    Finite, above 0, and a day at most; anything else is no word.
    """
    assert pause_asked_by(BusyError(asked)) == seconds
    assert pause_asked_by(Exception()) == 0.0


@needs_vector
@pytest.mark.parametrize("asked", [None, "30", 1e13, 1e14])
def test_an_odd_retry_after_stops_no_worker(engine: sa.Engine, asked: Any) -> None:
    """
    The rows are given back.
    """
    Base.metadata.create_all(engine)
    fill(engine, 2)
    worker = EmbeddingWorker(engine, Asking(BusyError(asked)), Article.embedding, wait=at_once)
    assert worker.work_once() == Worked(failed=2)
    assert "too many requests" in noted(engine, 1).error


@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_endpoint_that_asks_for_rest_is_left_alone(
    database: Database, asynchronous: bool
) -> None:
    """
    It is asked once, no attempt is counted, and afterwards rows come in batches as before.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 60)
    embedder = Asking(BusyError())
    options = {"batch": 10, "most_attempts": 1}
    work = workers(database, asynchronous, embedder, Article.embedding, **options)
    assert work() == Worked(failed=10)
    assert embedder.calls == [10]
    with engine.begin() as connection:
        state = sa.select(sa.func.max(STATE.c.attempts), sa.func.count(STATE.c.lease))
        assert tuple(connection.execute(state).one()) == (0, 0)
        later = sa.select(sa.func.count()).where(STATE.c.available_at > sa.func.now())
        assert connection.scalar(later) == 10
        connection.execute(sa.update(STATE).values(available_at=sa.func.now()))
    assert status(engine) == (60, 0, 0)
    embedder.error, embedder.calls = None, []
    other = workers(database, asynchronous, embedder, Article.embedding, **options)
    assert other() == Worked(embedded=60)
    assert embedder.calls == [10] * 6
    assert all_true(engine)


@pytest.mark.slow
@needs_vector
def test_a_worker_rests_until_the_endpoint_said(database: Database) -> None:
    """
    ``work`` asks for nothing before, ``run`` goes on afterwards, and is told to stop meanwhile.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 6)
    embedder = Asking(BusyError(1))
    worker = EmbeddingWorker(engine, embedder, Article.embedding, batch=2)
    assert worker.work() == Worked(failed=2)
    with engine.begin() as connection:
        connection.execute(sa.update(STATE).values(available_at=sa.func.now()))
    assert worker.work() == worker.work_once() == Worked()
    stop, done = threading.Event(), []
    thread = threading.Thread(target=lambda: done.append(worker.run(pause=0.01, stop=stop)))
    embedder.error = None
    start = time.monotonic()
    thread.start()
    while status(engine)[2] < 6 and time.monotonic() < start + 20:
        time.sleep(0.02)  # between two looks at the queue
    assert time.monotonic() - start > 0.5
    stop.set()
    thread.join()
    assert done == [Worked(embedded=6)]
    assert embedder.calls == [2] * 4
    embedder.error = BusyError(600)
    with engine.begin() as connection:
        connection.execute(sa.update(Article).values(title="new"))
    stop = threading.Event()
    thread = threading.Thread(target=lambda: worker.run(pause=600, stop=stop))
    thread.start()
    while len(embedder.calls) < 5 and time.monotonic() < start + 20:
        time.sleep(0.02)  # between two looks at the calls
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(embedder.calls) == 5


@needs_vector
def test_texts_are_split_while_the_endpoint_rests(engine: sa.Engine) -> None:
    """
    That asks nothing of it.
    """
    Base.metadata.create_all(engine)
    fill(engine, 4)
    embedder = Asking(BusyError())
    worker = EmbeddingWorker(engine, embedder, BLOG.Chunk.embedding)
    assert worker.work() == Worked(failed=4, split=4)
    with engine.begin() as connection:
        connection.execute(sa.update(Article).where(Article.id == 1).values(title="new"))
    assert worker.work() == Worked(split=1)
    assert embedder.calls == [4]


@needs_vector
def test_a_row_that_failed_is_not_behind_those_that_come(engine: sa.Engine) -> None:
    """
    Rows come by the time since when they are due.
    """
    Base.metadata.create_all(engine)
    fill(engine, 1)
    embedder = Asking(RuntimeError("once"))
    worker = EmbeddingWorker(engine, embedder, Article.embedding, batch=2, wait=at_once)
    assert worker.work_once() == Worked(failed=1)
    embedder.error = None
    for n in range(2):
        with Session(engine) as session:
            session.add_all(Article(id=n * 2 + i, title="later") for i in (1, 2))
            session.commit()
        assert worker.work_once()
    assert noted(engine, 0).stale_since is None
    assert worker.work() == Worked(embedded=2)
    assert all_true(engine)


@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
def test_rows_that_the_worker_cannot_see(
    database: Database, owner: tuple[str, str], asynchronous: bool
) -> None:
    """
    They are no end of the queue, and their error says what to do.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    fill(engine, 30)
    name, password = owner
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"GRANT SELECT, UPDATE ON article, article_embedding_state TO {name};"
            "ALTER TABLE article ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY late ON article USING (id >= 15)"
        )
    url = database.url.set(username=name, password=password)
    given: Any = (Length(), Article.embedding)
    options: Any = {"batch": 10, "most_attempts": 1, "wait": at_once}
    if asynchronous:
        other = database.async_engine(url=url.set(drivername="postgresql+asyncpg"))
        done = asyncio.run(EmbeddingWorker(other, *given, **options).work_async())
    else:
        done = EmbeddingWorker(database.engine(url=url), *given, **options).work()
    assert done == Worked(embedded=15, failed=15)
    assert status(engine) == (0, 15, 15)
    assert "cannot read this row of article" in noted(engine, 3).error
    with engine.begin() as connection:
        assert retry_failed(connection, Article.embedding) == 15
    assert EmbeddingWorker(engine, Length(), Article.embedding).work() == Worked(embedded=15)
    assert all_true(engine)


class Kind(enum.Enum):
    A = 1
    B = 2


@pytest.mark.slow
@needs_vector
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("composite", [False, True])
def test_an_enum_as_a_key(database: Database, composite: bool, asynchronous: bool) -> None:
    """
    Alone, and with another column.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "item",
        metadata,
        sa.Column("kind", sa.Enum(Kind), primary_key=True),
        sa.Column("id", sa.Integer, primary_key=composite),
        sa.Column("body", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="body")),
    )
    pgultra.declare(table, Rules("embedding"))
    engine = database.engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        rows = [{"kind": kind, "id": kind.value, "body": "x"} for kind in Kind]
        connection.execute(table.insert(), rows)
    work = workers(database, asynchronous, Length(), table.c.embedding)
    assert work() == Worked(embedded=2)
    with engine.begin() as connection:
        assert backfill(connection, table.c.embedding, everything=True) == 2
    assert work() == Worked(embedded=2)


@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_without_a_word_is_left_alone_too(endpoint: Endpoint, status: int) -> None:
    """
    Too many requests and no service are no fault of the texts: a minute, unless it says.
    """
    embedder = OpenAIEmbedder("m", 3, base_url=endpoint.url, attempts=1)
    for headers, seconds in (({}, 60), ({"Retry-After": "0"}, 60), ({"Retry-After": "7"}, 7)):
        endpoint.answers = [(status, dict(headers), {"error": "slow down"})]
        with pytest.raises(PgultraError, match="slow down") as caught:
            embedder.embed(["a"])
        assert pause_asked_by(caught.value) == seconds
    for headers in ({}, {"Retry-After": "0"}, {"Retry-After": "\xb2"}):
        endpoint.answers = [(500, dict(headers), {"error": "broken"})]
        with pytest.raises(PgultraError, match="broken") as caught:
            embedder.embed(["a"])
        assert pause_asked_by(caught.value) == 0
    nobody = OpenAIEmbedder("m", 3, base_url="http://127.0.0.1:9/v1", attempts=1)
    with pytest.raises(PgultraError, match="cannot be reached") as caught:
        nobody.embed(["a"])
    assert pause_asked_by(caught.value) == 60
