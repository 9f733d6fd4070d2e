from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

import pgultra
from pgultra import DeclarationError, plan
from pgultra.features.embeddings import (
    EmbeddingWorker,
    Rules,
    VectorType,
    Worked,
    backfill,
    queue_status,
)
from tests.features.embeddings.counting import Length, all_true, fill
from tests.features.embeddings.sample import BLOG, Article, Base

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

STATE = Base.metadata.tables["article_embedding_state"]


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


def named(model: str) -> Length:
    """
    An embedder of that model.
    """
    embedder = Length()
    embedder.model = model
    return embedder


@pytest.mark.once
async def test_vectors_of_two_models_where_none_is_declared(
    engine: sa.Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Another embedder is refused before anything is leased, until all rows wait for it.
    """
    table = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column("embedding", VectorType(3, index=None, source="text")),
    )
    pgultra.declare(table, Rules("embedding"))
    table.metadata.create_all(engine)

    def write(*keys: int) -> None:
        with engine.begin() as connection:
            connection.execute(table.insert(), [{"id": n, "text": f"text {n}"} for n in keys])

    column = table.c.embedding
    state = table.metadata.tables["note_embedding_state"]
    write(1, 2, 3)
    old = EmbeddingWorker(engine, named("old"), column)
    assert old.work() == Worked(embedded=3)
    write(4)
    told = r"note\.embedding declares no model and has vectors of 'old'.* Length is 'new'"
    with pytest.raises(DeclarationError, match=told):
        EmbeddingWorker(engine, named("new"), column).work()
    with pytest.raises(DeclarationError, match=told):
        await EmbeddingWorker(database.async_engine(), named("new"), column).work_async()
    assert old.work() == Worked(embedded=1)
    with engine.begin() as connection:
        assert backfill(connection, column) == 0
        assert backfill(connection, column, everything=True) == 4
    new = EmbeddingWorker(engine, named("new"), column)
    assert new.work() == Worked(embedded=4)
    write(5)
    assert old.work() == Worked(embedded=1)  # it looked a moment ago
    monkeypatch.setattr("pgultra.features.embeddings.worker.LOOK_AGAIN", 0.0)
    write(6)
    for worker, other in ((old, "new"), (new, "old")):
        with pytest.raises(DeclarationError, match=f"has vectors of '{other}'"):
            worker.work()
    with engine.begin() as connection:
        for options in ({}, {"dry_run": True}):
            with pytest.raises(DeclarationError, match="vectors of 'new' and of 'old'"):
                backfill(connection, column, **options)
        connection.execute(state.update().values(stale_since=sa.func.now()))
        assert backfill(connection, column) == 0


@pytest.mark.once
def test_the_look_for_another_model_is_not_for_every_batch(engine: sa.Engine) -> None:
    """
    It reads the state table, which may be large.
    """
    model = BLOG.Chunk
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Article), {"id": 1, "title": "a " * 2000, "language": "en"})
    looks = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def listen(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        looks.extend([statement] * ("model !=" in statement))

    worker = EmbeddingWorker(engine, Length(), model.embedding, batch=1)
    assert worker.work().embedded > 1
    worker.work()
    assert len(looks) == 1
