"""
What ``switch`` refuses rather than lose vectors, and both it and ``backfill`` beside others.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, mapped_column

import pgultra
from pgultra import DeclarationError, PgultraError, sql
from pgultra.features.embeddings import (
    HNSW,
    Embedding,
    EmbeddingWorker,
    NextVersion,
    Rules,
    VectorType,
    backfill,
    next_version,
    queue_status,
    retry_failed,
    switch,
    upkeep,
)
from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions
from pgultra.plan import check
from tests.features.embeddings.counting import Length, at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

HOSTILE = 'We"ird Näme %s :x'
NEXT = NextVersion(dimensions=4, model="four")


class Four(Length):
    """
    Another model, with vectors of its own.
    """

    model = "four"
    dimensions = 4

    @staticmethod
    def vector(text: str) -> list[float]:
        return [*Length.vector(text), 2.0]


def note(
    following: NextVersion | None = NEXT,
    *,
    schema: str | None = None,
    name: str = "note",
    nullable: bool = True,
    old: bool = True,
) -> sa.Table:
    """
    The table with both versions, or with one.
    """
    embedding = VectorType(
        3 if old else 4,
        source="body",
        model="length" if old else "four",
        next_version=following,
    )
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column('i"d', sa.Integer, primary_key=True, key="id"),
        sa.Column("body", sa.Text),
        sa.Column("other", sa.Text),
        sa.Column('em"b %', embedding, key="embedding", nullable=nullable),
        schema=schema,
    )
    if schema:
        pgultra.declare(table.metadata, pgultra.Schema(name=schema))
    pgultra.declare(table, Rules("embedding"))
    return table


def fill(engine: sa.Engine, table: sa.Table, count: int = 5, **more: Any) -> None:
    """
    Rows with a text.
    """
    rows = [{"id": n, "body": f"text {n}", **more} for n in range(count)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


def embed(engine: sa.Engine, table: sa.Table) -> None:
    """
    Let both workers finish.
    """
    EmbeddingWorker(engine, Length(), table.c.embedding).work()
    EmbeddingWorker(engine, Four(), next_version(table.c.embedding)).work()


def vectors(engine: sa.Engine, table: sa.Table) -> dict[int, Any]:
    """
    What the column holds, by key.
    """
    text = sa.cast(table.c.embedding, sa.Text)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table.c.id, text).order_by(table.c.id))
        return {id_: found and len(found.split(",")) for id_, found in rows}


def until_somebody_waits(engine: sa.Engine) -> None:
    """
    Return when a session of the database waits for a lock.
    """
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(1000):
        with engine.connect() as connection:
            if connection.scalar(waiting):
                return
        time.sleep(0.01)  # between two looks at who waits
    pytest.fail("nobody waits for a lock")


def in_transaction(engine: sa.Engine, work: Callable[..., int], column: Any) -> int:
    """
    A function of a connection, in a transaction of its own.
    """
    with engine.begin() as connection:
        return work(connection, column)


@pytest.mark.parametrize("schema", [None, HOSTILE])
def test_a_switch_does_not_lose_vectors(
    owner_engine: sa.Engine, engine: sa.Engine, schema: str | None
) -> None:
    """
    Without a backfill, with waiting, failed or lost rows it refuses, and says what to do.
    """
    names: dict[str, Any] = {"schema": schema, "name": HOSTILE if schema else "note"}
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    before, table = note(None, **names), note(**names)
    before.metadata.create_all(owner_engine)
    fill(owner_engine, before)
    with owner_engine.begin() as connection:
        connection.execute(before.insert(), [{"id": 8, "body": None}, {"id": 9, "body": " \n"}])
    table.metadata.create_all(owner_engine)
    column, following = table.c.embedding, next_version(table.c.embedding)
    EmbeddingWorker(owner_engine, Length(), column).work()
    kept = vectors(owner_engine, table)
    assert kept == {0: 3, 1: 3, 2: 3, 3: 3, 4: 3, 8: None, 9: None}

    def refused(what: str) -> None:
        held = sa.text("SELECT count(*) FROM pg_locks WHERE mode ~ 'Exclusive' AND relation > 0")
        with owner_engine.begin() as connection:
            with pytest.raises(PgultraError, match=what):
                switch(connection, column)
            assert connection.scalar(sa.text(f"{held} AND pid = pg_backend_pid()")) == 0
        assert vectors(owner_engine, table) == kept

    with owner_engine.connect() as connection:
        assert queue_status(connection, following).done
    refused(r"5 rows .* four: 5 are not in its queue \(backfill\(\)")
    with owner_engine.begin() as connection:
        backfill(connection, following)
    refused("5 wait for their vector")
    four = Four()
    four.broken = {"text 3"}
    worker = EmbeddingWorker(owner_engine, four, following, most_attempts=1, batch=1, wait=at_once)
    worker.work()
    refused(r"1 rows .*: 1 failed \(retry_failed\(\)")
    four.broken = set()
    with owner_engine.begin() as connection:
        assert retry_failed(connection, following) == 1
    assert worker.work().embedded == 1
    side: Any = following.table
    with owner_engine.begin() as connection:
        connection.execute(side.delete().where(side.c.key_0 == 2))
    refused("1 lost it .*everything=True")
    with owner_engine.begin() as connection:
        connection.execute(table.delete().where(table.c.id == 2))
        connection.execute(table.update().where(table.c.id == 1).values(body=" "))
    del kept[2]
    refused("1 wait for their vector")  # that there is none any more
    worker.work()
    with owner_engine.begin() as connection:
        assert switch(connection, column) == 3
    assert vectors(owner_engine, table) == {0: 4, 1: None, 3: 4, 4: 4, 8: None, 9: None}
    after = note(None, old=False, **names)
    with owner_engine.connect() as connection:
        assert backfill(connection, after.c.embedding, dry_run=True) == 0
        assert queue_status(connection, after.c.embedding).embedded == 6


def test_who_says_so_switches_with_what_there_is(engine: sa.Engine) -> None:
    """
    Rows without a fresh vector wait, or have failed, in the queue of the column.
    """
    before, table = note(None), note()
    before.metadata.create_all(engine)
    fill(engine, before, 2)  # 0 and 1 are never put into the next queue
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": n, "body": f"text {n}"} for n in range(2, 8)])
    four = Four()
    four.broken = {"text 2"}
    following = next_version(table.c.embedding)
    EmbeddingWorker(engine, Length(), table.c.embedding).work()
    EmbeddingWorker(engine, four, following, most_attempts=1, batch=1, wait=at_once).work()
    side: Any = following.table
    with engine.begin() as connection:
        connection.execute(side.delete().where(side.c.key_0 == 7))
        connection.execute(table.update().where(table.c.id == 3).values(body="another"))
        assert switch(connection, table.c.embedding, incomplete=True) == 4
    assert vectors(engine, table) == {
        **dict.fromkeys((0, 1, 2, 7)),
        **dict.fromkeys((3, 4, 5, 6), 4),
    }
    after = note(None, old=False)
    column = after.c.embedding
    with engine.begin() as connection:
        status = queue_status(connection, column)
        assert (status.waiting, status.failed, status.embedded) == (4, 1, 3)
        assert retry_failed(connection, column) == 1
    assert EmbeddingWorker(engine, Four(), column).work().embedded == 5
    assert set(vectors(engine, after).values()) == {4}
    with engine.connect() as connection, pytest.raises(DeclarationError, match="incomplete='yes'"):
        switch(connection, table.c.embedding, incomplete="yes")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.slow
def test_a_column_that_is_not_null(engine: sa.Engine) -> None:
    """
    It stays so where every row has a vector, and no NULL comes into it.
    """
    table = note(nullable=False)
    table.metadata.create_all(engine)
    fill(engine, table, embedding=[1, 2, 3])
    embed(engine, table)
    with engine.begin() as connection:
        connection.execute(table.insert(), {"id": 9, "body": "", "embedding": [1, 2, 3]})
        for incomplete in (False, True):
            with pytest.raises(PgultraError, match="NOT NULL, and 1 rows have no vector of four"):
                switch(connection, table.c.embedding, incomplete=incomplete)
        connection.execute(table.delete().where(table.c.id == 9))
        assert switch(connection, table.c.embedding) == 5
    assert set(vectors(engine, table).values()) == {4}
    with engine.connect() as connection:
        [column] = [
            each for each in sa.inspect(connection).get_columns("note") if '"b' in each["name"]
        ]
        assert not column["nullable"]
        zeros = sa.text("""SELECT count(*) FROM note WHERE "em""b %" = '[0,0,0,0]'""")
        assert connection.scalar(zeros) == 0


@pytest.mark.parametrize("partitioned", [False, True])
def test_an_index_that_is_built_concurrently(engine: sa.Engine, partitioned: bool) -> None:
    """
    The table is locked anyhow, so it is built plainly; the next migration leaves it alone.
    """

    def table(vector: VectorType) -> sa.Table:
        parts: Any = {"postgresql_partition_by": "RANGE (id)"} if partitioned else {}
        made = sa.Table(
            "note",
            sa.MetaData(),
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("body", sa.Text),
            sa.Column("embedding", vector),
            **parts,
        )
        pgultra.declare(made, Rules("embedding"))
        return made

    index = HNSW(concurrently=True)
    following = NextVersion(dimensions=4, model="four", index=index)
    before = table(VectorType(3, source="body", model="length", next_version=following))
    before.metadata.create_all(engine)
    with engine.begin() as connection:
        if partitioned:
            connection.exec_driver_sql("CREATE TABLE part PARTITION OF note DEFAULT")
        connection.execute(before.insert(), {"id": 1, "body": "text"})
    embed(engine, before)
    with engine.begin() as connection:
        assert switch(connection, before.c.embedding) == 1
    after = table(VectorType(4, source="body", model="four", index=index))
    with engine.connect() as connection:
        steps = check(connection, after.metadata).steps
        valid = sa.text(
            "SELECT bool_and(indisvalid), count(*) FROM pg_index AS i JOIN pg_class AS c "
            "ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam WHERE a.amname = 'hnsw'"
        )
        assert connection.execute(valid).one() == (True, 3 if partitioned else 2)
    assert {step.identity.kind for step in steps} == {"trigger"}  # of the next version


@pytest.mark.parametrize("schema", [None, "public", 'Sche"ma %'])
def test_views_of_ours_give_way(engine: sa.Engine, schema: str | None) -> None:
    """
    Live views show the column; they come back with who may read them. A stranger's stays.
    """

    class Base(DeclarativeBase):
        metadata = sa.MetaData(schema=schema)

    class Note(SoftDelete, Base):
        __tablename__ = "note"
        __soft_delete__ = SoftDeleteOptions(view=True)

        id = mapped_column(sa.Integer, primary_key=True)
        body = mapped_column(sa.Text)
        embedding = Embedding(3, source="body", model="length", next_version=NEXT)

    if schema:
        pgultra.declare(Base.metadata, pgultra.Schema(name=schema))
    table: Any = Note.__table__
    place = sql.qualified(schema, "note_live")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": n, "body": f"text {n}"} for n in range(3)])
        connection.execute(table.update().where(table.c.id == 1).values(deleted_at=sa.func.now()))
        connection.execute(sql.statement(f"GRANT SELECT ON {place} TO PUBLIC"))
        connection.execute(sql.statement(f"CREATE VIEW strange AS SELECT id FROM {place}"))
    embed(engine, table)
    with (
        engine.begin() as connection,
        pytest.raises(sa.exc.DBAPIError, match="view strange depends on"),
    ):
        switch(connection, Note.embedding)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW strange")
        assert switch(connection, Note.embedding) == 3
        rows = sql.statement(f"SELECT id, vector_dims(embedding) FROM {place}")
        found = connection.execute(rows)
        assert sorted(map(tuple, found)) == [(0, 4), (2, 4)]
        may = sa.text("SELECT has_table_privilege('pg_monitor', :place, 'SELECT')")
        assert connection.scalar(may, {"place": place})
    with engine.connect() as connection:
        assert not check(connection, Base.metadata)


def test_what_keeps_rows_away_is_refused(owner_engine: sa.Engine, engine: sa.Engine) -> None:
    """
    Row level security that holds for the owner too, and a trigger that skips rows.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    table = note()
    table.metadata.create_all(owner_engine)
    fill(owner_engine, table, 10)
    embed(owner_engine, table)
    with owner_engine.begin() as connection:
        for statement in (
            "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE note FORCE ROW LEVEL SECURITY",
            """CREATE POLICY p ON note USING ("i""d" < 4)""",
            "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            """CREATE TRIGGER skip BEFORE UPDATE ON note FOR EACH ROW
            WHEN (old."i""d" = 3) EXECUTE FUNCTION skip()""",
        ):
            connection.execute(sa.text(statement))
    for incomplete in (False, True):
        with owner_engine.begin() as connection:
            with pytest.raises(PgultraError, match=r"note has row level security .* BYPASSRLS"):
                switch(connection, table.c.embedding, incomplete=incomplete)
            connection.execute(sa.text("ALTER TABLE note NO FORCE ROW LEVEL SECURITY"))
            with pytest.raises(PgultraError, match=r"1 rows of note did not take .* trigger"):
                switch(connection, table.c.embedding, incomplete=incomplete)
            connection.execute(sa.text("ALTER TABLE note FORCE ROW LEVEL SECURITY"))
    assert vectors(engine, table) == dict.fromkeys(range(10), 3)
    with owner_engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER skip ON note"))
        connection.execute(sa.text("ALTER TABLE note NO FORCE ROW LEVEL SECURITY"))
        assert switch(connection, table.c.embedding) == 10
        connection.execute(sa.text("ALTER TABLE note FORCE ROW LEVEL SECURITY"))
    assert vectors(engine, table) == dict.fromkeys(range(10), 4)


@pytest.mark.slow
@pytest.mark.parametrize("schema", [None, HOSTILE])
def test_a_switch_beside_a_worker_of_the_old_model(engine: sa.Engine, schema: str | None) -> None:
    """
    The claim that waits behind the switch holds rows of the old queue: nobody is a victim.
    """
    table = note(schema=schema)
    table.metadata.create_all(engine)
    fill(engine, table)
    embed(engine, table)
    in_transaction(engine, lambda c, of: backfill(c, of, everything=True), table.c.embedding)
    worker = EmbeddingWorker(engine, Length(), table.c.embedding)
    with ThreadPoolExecutor(2) as pool, engine.connect() as reader:
        reader.execute(sa.select(table.c.id)).all()
        switched = pool.submit(in_transaction, engine, switch, table.c.embedding)
        until_somebody_waits(engine)
        worked = pool.submit(worker.work)
        time.sleep(0.5)  # the claim holds its rows, and waits behind the switch
        reader.rollback()
        assert switched.result(30) == 5
        worked.result(30)
    assert set(vectors(engine, table).values()) == {4}
    after = note(None, old=False, schema=schema)
    with engine.connect() as connection:
        assert backfill(connection, after.c.embedding, dry_run=True) == 0


@pytest.mark.slow
def test_a_switch_beside_a_writer(engine: sa.Engine) -> None:
    """
    A writer holds the table and asks for the queues, by triggers, while the switch waits.
    """
    table = note()
    table.metadata.create_all(engine)
    fill(engine, table)
    embed(engine, table)
    change = table.update().where(table.c.id == 2)
    with ThreadPoolExecutor(1) as pool, engine.connect() as writer:
        writer.execute(change.values(other="first"))
        switched = pool.submit(in_transaction, engine, switch, table.c.embedding)
        until_somebody_waits(engine)
        writer.execute(change.values(body="second"))
        writer.commit()
        with pytest.raises(PgultraError, match="1 wait for their vector"):
            switched.result(30)
    embed(engine, table)
    assert in_transaction(engine, switch, table.c.embedding) == 5


@pytest.mark.parametrize("batch", [1, 7, 50, 1000])
def test_a_backfill_beside_deletions(
    engine: sa.Engine, database: Database, owner: tuple[str, str], monkeypatch: Any, batch: int
) -> None:
    """
    Deleted rows drop out, for a role that may only read the table; all others are noted.
    """
    table = note(None, schema=HOSTILE)
    table.metadata.create_all(engine)
    state = table.metadata.tables[f'{HOSTILE}.note_em"b %_state']
    fill(engine, table, 50)
    quoted, place = '"We""ird Näme %s :x"', '"We""ird Näme %s :x"."note_em""b %_state"'
    with engine.begin() as connection:
        connection.execute(state.delete())
        for grant in (
            f"USAGE ON SCHEMA {quoted}",
            f"SELECT ON {quoted}.note",
            f"SELECT, INSERT, UPDATE ON {place}",
        ):
            connection.execute(pgultra.sql.statement(f"GRANT {grant} TO {owner[0]}"))
    reader = database.engine(url=database.url.set(username=owner[0], password=owner[1]))
    monkeypatch.setattr(upkeep, "BATCH", batch)
    with ThreadPoolExecutor(1) as pool, engine.connect() as deleter:
        deleter.execute(table.delete().where(table.c.id.in_((3, 20, 49))))
        noted = pool.submit(in_transaction, reader, backfill, table.c.embedding)
        until_somebody_waits(engine)
        deleter.commit()
        assert noted.result(30) == 47
    with engine.begin() as connection:
        assert queue_status(connection, table.c.embedding).waiting == 47
        assert backfill(connection, table.c.embedding) == 0
        connection.execute(state.update().values(stale_since=None))
        assert backfill(connection, table.c.embedding, everything=True) == 47
    with engine.begin() as connection:  # of the rights that the role has there
        connection.execute(sa.schema.DropSchema(HOSTILE, cascade=True))


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_backfill_beside_a_purge(
    engine: sa.Engine, monkeypatch: Any, *, autocommit: bool
) -> None:
    """
    While rows go one after the other, it takes fewer at once, and ends; without a transaction too.
    """
    monkeypatch.setattr(upkeep, "BATCH", 64)
    table = note(None)
    table.metadata.create_all(engine)
    fill(engine, table, 400)
    with engine.begin() as connection:
        connection.execute(sa.text("""DELETE FROM "note_em""b %_state" """))

    def purge() -> None:
        for n in range(0, 400, 2):
            with engine.begin() as connection:
                connection.execute(table.delete().where(table.c.id == n))

    alone = engine.execution_options(
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED"
    )
    with ThreadPoolExecutor(1) as pool:
        purging = pool.submit(purge)
        in_transaction(alone, backfill, table.c.embedding)
        purging.result(30)
    with engine.connect() as connection:
        assert queue_status(connection, table.c.embedding).waiting == 200
