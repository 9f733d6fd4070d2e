"""
What a worker leaves alone, and what neither a host's names nor its engine can do to it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

import pgultra
from pgultra.features.embeddings import (
    Chunks,
    EmbeddingWorker,
    NextVersion,
    Rules,
    VectorType,
    Worked,
    next_version,
    queue_status,
)
from pgultra.features.embeddings.queue import CHANGED
from pgultra.features.embeddings.side import SplitQueue
from pgultra.features.embeddings.troubles import told
from tests.features.embeddings.counting import Length, at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


class Next(Length):
    """
    Another model.
    """

    model = "next"


def note(name: str = "note", *more: sa.Column[Any], **options: Any) -> sa.Table:
    """
    A table with a text and a vector of it.
    """
    vector = VectorType(3, source="body", model="length", **{"index": None, **options})
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text, key="text_of_it"),
        *more,
        sa.Column("embedding", vector),
    )
    table.c.embedding.type.source = ("text_of_it",)
    pgultra.declare(table, Rules("embedding"))
    return table


def filled(engine: sa.Engine, table: sa.Table, count: int = 3) -> sa.Table:
    """
    The table in the database, with rows that wait.
    """
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        rows = sa.select(sa.func.generate_series(1, count).label("n")).subquery()
        texts = sa.select(rows.c.n, sa.literal("text ") + sa.cast(rows.c.n, sa.Text))
        connection.execute(table.insert().from_select(["id", "text_of_it"], texts))
    return table


def standing(engine: sa.Engine, table: sa.Table) -> tuple[int, int, int]:
    """
    How many rows wait, are leased, and are embedded.
    """
    with engine.connect() as connection:
        found = queue_status(connection, table.c.embedding)
    return found.waiting, found.leased, found.embedded


def test_a_vector_is_no_change_of_the_row(engine: sa.Engine) -> None:
    """
    What ``onupdate=`` would write stays, and a function that looks at what is written is not asked.
    """

    def slug(context: Any) -> str:
        return str(context.get_current_parameters()["text_of_it"])

    changed = sa.Column("changed", sa.Integer, server_default="1", onupdate=2)
    table = filled(engine, note("note", changed, sa.Column("slug", sa.Text, onupdate=slug)))
    assert EmbeddingWorker(engine, Length(), table.c.embedding).work() == Worked(embedded=3)
    with engine.connect() as connection:
        assert set(connection.scalars(sa.select(table.c.changed))) == {1}


@pytest.mark.parametrize("name", ["embedded", "given", "fresh", "pgultra"])
def test_tables_of_any_name(engine: sa.Engine, name: str) -> None:
    """
    No name that a statement gives to its rows is that of a host's table.
    """
    table = filled(engine, note(name, next_version=NextVersion(dimensions=3, model="next")))
    assert EmbeddingWorker(engine, Length(), table.c.embedding).work() == Worked(embedded=3)
    following = next_version(table.c.embedding)
    assert EmbeddingWorker(engine, Next(), following).work() == Worked(embedded=3)


def test_none_is_no_vector_of_a_text(engine: sa.Engine) -> None:
    """
    The vector that was there stays, and the row is not fresh; the others are embedded.
    """

    class Filtered(Length):
        def embed(self, texts: Sequence[str]) -> list[Any]:
            made = super().embed(texts)
            return [None if "2" in text else each for text, each in zip(texts, made, strict=True)]

    table = filled(engine, note())
    with engine.begin() as connection:
        connection.execute(table.update().values(embedding=[7, 7, 7]))
    worker = EmbeddingWorker(engine, Filtered(), table.c.embedding, most_attempts=2, wait=at_once)
    assert worker.work().embedded == 2
    with engine.connect() as connection:
        assert queue_status(connection, table.c.embedding).failed == 1
        kept = connection.scalar(sa.select(table.c.embedding).where(table.c.id == 2))
        state = table.metadata.tables["note_embedding_state"]
        error = connection.scalar(sa.select(state.c.error).where(state.c.key_0 == 2))
    assert kept.to_list() == [7, 7, 7]
    assert "gave None for a text" in str(error)


@pytest.mark.parametrize(("what", "failed"), [("btrim(NEW.body)", 0), ("NEW.body || '.'", 3)])
def test_a_trigger_that_changes_the_text(engine: sa.Engine, what: str, failed: int) -> None:
    """
    Once is once more to embed; one that does so at each UPDATE had a worker embed for ever.
    """
    table = filled(engine, note())
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE note SET body = ' ' || body")
        connection.exec_driver_sql(
            f"CREATE FUNCTION host() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN NEW.body := {what}; RETURN NEW; END$$;"
            "CREATE TRIGGER host BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION host()"
        )
    worker = EmbeddingWorker(engine, Length(), table.c.embedding, most_attempts=3)
    embedder: Any = worker.embedder
    worker.work()
    assert sum(embedder.seen.values()) == (9 if failed else 6)
    with engine.begin() as connection:
        found = queue_status(connection, table.c.embedding)
        assert (found.waiting, found.failed) == (0, failed)
        state = table.metadata.tables["note_embedding_state"]
        errors = set(connection.scalars(sa.select(state.c.error)))
        assert errors == ({CHANGED} if failed else {None})
        connection.exec_driver_sql("DROP TRIGGER host ON note; UPDATE note SET body = 'other'")
    assert worker.work().embedded == 3


async def test_batches_of_any_size(engine: sa.Engine, database: Database) -> None:
    """
    A statement has as many parameters as asyncpg takes, which takes fewest.
    """
    table = filled(engine, note(), 11_000)
    other = database.async_engine()
    worker = EmbeddingWorker(other, Length(), table.c.embedding, batch=11_000)
    assert await worker.work_once_async() == Worked(embedded=11_000)


def test_many_rows_are_given_up_at_once(engine: sa.Engine) -> None:
    """
    As where a worker with fewer attempts comes after an outage.
    """
    table = filled(engine, note(), 66_000)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE note_embedding_state SET attempts = 2")
    assert not EmbeddingWorker(engine, Length(), table.c.embedding, most_attempts=2).work()
    with engine.connect() as connection:
        assert queue_status(connection, table.c.embedding).failed == 66_000


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_the_engines_isolation_does_not_matter(
    database: Database, monkeypatch: pytest.MonkeyPatch, level: Any
) -> None:
    """
    In AUTOCOMMIT, chunks of a text that changed at that moment stayed; a lock holds until then.
    """
    metadata = sa.MetaData()
    number = sa.Column("id", sa.Integer, primary_key=True)
    book = sa.Table("book", metadata, number, sa.Column("body", sa.Text))
    page = sa.Table(
        "page",
        metadata,
        sa.Column("book_id", sa.ForeignKey("book.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column("embedding", VectorType(3, source="text")),
    )
    pgultra.declare(page, Rules("embedding"))
    pgultra.declare(page, Chunks(source="body", text="text", number="number"))
    engine = database.engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(book.insert(), {"id": 1, "body": "old"})
    store = SplitQueue.store

    def change() -> None:
        with engine.begin() as connection:
            connection.execute(book.update().values(body="new"))

    others: list[threading.Thread] = []

    def stored(*given: Any) -> None:
        if not others:
            others.append(threading.Thread(target=change))
            others[0].start()
            others[0].join(0.5)
        store(*given)

    monkeypatch.setattr(SplitQueue, "store", stored)
    other = database.engine(isolation_level=level)
    EmbeddingWorker(other, Length(), page.c.embedding).work_once()
    others[0].join()
    with engine.connect() as connection:
        assert list(connection.scalars(sa.select(page.c.text))) == []
    assert EmbeddingWorker(other, Length(), page.c.embedding).work().embedded == 1
    with engine.connect() as connection:
        assert list(connection.scalars(sa.select(page.c.text))) == ["new"]
    with other.connect() as connection:  # from the same pool
        driver: Any = connection.connection.dbapi_connection
        assert driver.autocommit is (level == "AUTOCOMMIT")
        if level == "SERIALIZABLE":
            assert connection.get_isolation_level() == level


async def until(engine: sa.Engine, table: sa.Table, wanted: tuple[int, int, int]) -> None:
    """
    Wait until a queue stands so; half a minute at most.
    """
    for _ in range(300):
        if standing(engine, table) == wanted:
            return
        await asyncio.sleep(0.1)
    assert standing(engine, table) == wanted


@pytest.mark.parametrize("stop", ["once", "twice"])
async def test_who_is_cancelled_gives_rows_back(
    engine: sa.Engine, database: Database, stop: str
) -> None:
    """
    While it embeds and while it writes, and where it is cancelled again before that is done.
    """
    table = filled(engine, note())
    began = asyncio.Event()

    class Slow(Length):
        async def embed_async(self, texts: Sequence[str]) -> list[list[float]]:
            began.set()
            await asyncio.sleep(300 if embedding else 0)
            return self.embed(texts)

    worker = EmbeddingWorker(database.async_engine(), Slow(), table.c.embedding)
    for embedding in (True, False):
        began.clear()
        with engine.connect() as host:
            host.execute(sa.select(table.c.id).where(table.c.id == 1).with_for_update())
            task = asyncio.create_task(worker.work_async())
            await began.wait()
            await until(engine, table, (3, 3, 0) if embedding else (1, 1, 2))
            task.cancel()
            if stop == "twice":
                await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(engine, table, (3, 0, 0) if embedding else (1, 0, 2))
    assert await worker.work_async() == Worked(embedded=1)


def test_who_is_interrupted_gives_rows_back(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While it writes, too: nobody waits for the lease to end.
    """
    table = filled(engine, note())
    worker = EmbeddingWorker(engine, Length(), table.c.embedding)

    def interrupted(*given: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker.queue, "write_free", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker.work()
    assert standing(engine, table) == (3, 0, 0)
    assert worker.work() == Worked(embedded=3)


def test_values_stay_out_of_errors() -> None:
    """
    Those of an error that the driver did not raise, too: the state table and logs have no texts.
    """
    error = sa.exc.StatementError(
        "it failed", "INSERT INTO page", {"text": "a secret"}, ValueError("why")
    )
    assert told(error) == "ValueError: why"
