from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import DeclarationError, plan
from pgultra.features import search
from pgultra.features.search import Backfilled
from tests.features.search import sample
from tests.features.search.tables import note_table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def stale(engine: sa.Engine) -> sa.Table:
    """
    A table with 25 rows, and a vector that came later, with triggers.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"}, config="english", mode="trigger")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE note (id int PRIMARY KEY, title varchar(80), body text)"
        )
        connection.exec_driver_sql(
            "INSERT INTO note SELECT n, 'fox ' || n FROM generate_series(1, 25) n"
        )
        connection.exec_driver_sql("ALTER TABLE note ADD COLUMN search tsvector")
        plan.apply(plan.check(connection, metadata), connection)
    return notes


def test_batches_are_committed_and_resumed(engine: sa.Engine) -> None:
    """
    An interrupted run keeps its batches; the next goes on, and a third finds nothing to do.
    """
    notes = stale(engine)
    seen: list[Backfilled] = []

    def stop(done: Backfilled) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with engine.connect() as connection, pytest.raises(KeyboardInterrupt):
        search.backfill(connection, notes.c.search, batch_size=10, progress=stop)
    assert seen[-1] == Backfilled(seen=20, changed=20, last=(20,))
    with engine.connect() as connection:
        rest = search.backfill(connection, notes.c.search, after=seen[-1].last)
        assert rest == Backfilled(seen=5, changed=5, last=(25,))
    with engine.connect() as connection:
        again = search.backfill(connection, notes.c.search, batch_size=7)
        assert (again.seen, again.changed) == (25, 0)
        found = sa.select(sa.func.count()).where(search.match(notes.c.search, "fox"))
        assert connection.scalar(found) == 25


def test_vectors_with_related_rows(engine: sa.Engine) -> None:
    """
    All are made anew; in the caller's transaction if there is one.
    """
    metadata = sample.build()
    metadata.create_all(engine)
    article = metadata.tables["article"]
    with engine.begin() as connection:
        connection.execute(article.insert().values(id=1, title="fox"))
        done = search.backfill(connection, article.c.words)
        assert (done.seen, done.changed) == (1, 1)
        assert connection.scalar(sa.select(article.c.words)) == "'fox':1A"


def test_generated_columns_need_none(connection: sa.Connection) -> None:
    """
    PostgreSQL filled them in; what is no vector is refused.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"})
    metadata.create_all(connection)
    assert search.backfill(connection, notes.c.search) == Backfilled()
    with pytest.raises(DeclarationError, match="no vector"):
        search.backfill(connection, notes.c.title)
    with pytest.raises(DeclarationError, match="batch_size"):
        search.backfill(connection, notes.c.search, batch_size=0)


async def test_on_an_async_connection(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    """
    The same function takes an AsyncConnection.
    """
    notes = stale(engine)
    async with async_engine.connect() as connection:
        done = await search.backfill(connection, notes.c.search, batch_size=10)
        assert done == Backfilled(seen=25, changed=25, last=(25,))
