from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector import Vector
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

import pgultra
from pgultra import DeclarationError, PgultraError, plan
from pgultra.features.embeddings import (
    HNSW,
    EmbeddingWorker,
    HashingEmbedder,
    NextVersion,
    Rules,
    VectorType,
    Worked,
    backfill,
    nearest,
    next_version,
    queue_status,
    recall,
    switch,
)
from tests.features.embeddings.counting import Length

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

NEW = HashingEmbedder(8)
HOSTILE = 'We"ird Näme %s :x'


def table_with(
    following: NextVersion | None = None,
    *,
    dimensions: int = 3,
    model: str = "length",
    name: str = "note",
    schema: str | None = None,
    precision: str = "single",
) -> sa.Table:
    """
    A declared table, before, during and after the change.
    """
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column('i"d', sa.Integer, primary_key=True, key="id"),
        sa.Column("body", sa.Text),
        sa.Column(
            'em"b %',
            VectorType(
                dimensions,
                metric="cosine",
                source="body",
                model=model,
                precision=precision,
                next_version=following,
            ),
            key="embedding",
        ),
        schema=schema,
    )
    if schema:
        pgultra.declare(table.metadata, pgultra.Schema(name=schema))
    pgultra.declare(table, Rules("embedding"))
    return table


def during(**options: Any) -> sa.Table:
    """
    The table with both versions.
    """
    return table_with(NextVersion(dimensions=8, model=NEW.model), **options)


def fill(engine: sa.Engine, table: sa.Table, count: int = 20) -> None:
    """
    Rows without vectors.
    """
    rows = [{"id": n, "body": f"note about {n} things"} for n in range(count)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


@pytest.mark.slow
@pytest.mark.parametrize("schema", [None, HOSTILE])
def test_both_versions_can_be_searched_until_the_switch(
    owner_engine: sa.Engine, engine: sa.Engine, schema: str | None
) -> None:
    """
    Rows from before are a backfill; both stay fresh; the switch exchanges vectors and index.
    """
    names: dict[str, Any] = {"schema": schema, "name": HOSTILE if schema else "note"}
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    old, table = table_with(**names), during(**names)
    old.metadata.create_all(owner_engine)
    fill(owner_engine, old)
    EmbeddingWorker(owner_engine, Length(), old.c.embedding).work()
    table.metadata.create_all(owner_engine)
    column, following = table.c.embedding, next_version(table.c.embedding)
    [body] = NEW.embed(["note about 7 things"])
    with owner_engine.begin() as connection:
        assert backfill(connection, following, dry_run=True) == 20
        assert backfill(connection, following) == 20
        assert queue_status(connection, column).done
        assert connection.execute(nearest(table, following, body)).all() == []
        with pytest.raises(PgultraError, match="wait for their vector"):
            switch(connection, column)
    worker = EmbeddingWorker(owner_engine, NEW, following, batch=7)
    assert worker.work() == Worked(embedded=20)
    with owner_engine.begin() as connection:
        assert not plan.check(connection, table.metadata)
        connection.execute(table.update().where(table.c.id == 3).values(body="note about nothing"))
        assert queue_status(connection, column).waiting == 1
        assert queue_status(connection, following).waiting == 1
    assert worker.work() == Worked(embedded=1)
    assert EmbeddingWorker(owner_engine, Length(), column).work() == Worked(embedded=1)
    [changed] = NEW.embed(["note about nothing"])
    some = sa.select(table).where(table.c.id < 10)
    with owner_engine.begin() as connection:
        for vector, id_ in ((body, 7), (changed, 3)):
            found = connection.execute(nearest(some, following, vector, 2)).all()
            assert (found[0].id, round(found[0].distance, 5), len(found)) == (id_, 0, 2)
        by_old = connection.execute(nearest(some, column, Length.vector("note about nothing"), 1))
        assert by_old.one().id == 3
        assert recall(connection, following, 5, k=3) == 1.0
    with owner_engine.begin() as connection:
        assert switch(connection, column) == 20
    after = table_with(dimensions=8, model=NEW.model, **names)
    with owner_engine.begin() as connection:
        steps = plan.check(connection, after.metadata).steps
        assert {str(step.verb) for step in steps} <= {"drop"}
        found = connection.execute(nearest(after, after.c.embedding, changed, 1)).one()
        assert (found.id, found.embedding == Vector(changed)) == (3, True)
        assert backfill(connection, after.c.embedding) == 0
        connection.execute(after.update().where(after.c.id == 1).values(body="other"))
        assert queue_status(connection, after.c.embedding).waiting == 1
    assert EmbeddingWorker(owner_engine, NEW, after.c.embedding).work() == Worked(embedded=1)


@pytest.mark.slow
def test_the_change_as_migrations(alembic_env: MigrationEnvironment) -> None:
    """
    The side table comes and goes by autogenerate; after the switch nothing else is left to do.
    """
    old, table = table_with(), during()
    after = table_with(dimensions=8, model=NEW.model)
    for metadata in (old.metadata, table.metadata):
        first = alembic_env.autogenerate(metadata=metadata)
        assert "import pgultra" not in first.text
        alembic_env.upgrade()
        assert alembic_env.check(metadata=metadata) == []
        assert alembic_env.autogenerate(metadata=metadata).empty
        alembic_env.upgrade()
    fill(alembic_env.engine, table, 3)
    EmbeddingWorker(alembic_env.engine, NEW, next_version(table.c.embedding)).work()
    with alembic_env.engine.begin() as connection:
        assert switch(connection, table.c.embedding) == 3
    last = alembic_env.autogenerate(metadata=after.metadata)
    up, _ = last.text.split("def downgrade")
    assert "drop_table('note_em\"b %_next')" in up
    assert "alter_column" not in up
    assert "CREATE INDEX" not in up
    alembic_env.upgrade()
    assert alembic_env.check(metadata=after.metadata) == []
    with alembic_env.engine.begin() as connection:
        assert connection.execute(nearest(after, after.c.embedding, [1.0] * 8)).all()


async def test_async_engines_and_another_precision(engine: sa.Engine, database: Database) -> None:
    """
    From single to half precision of the same dimensions, all of it on asyncpg.
    """
    following = NextVersion(dimensions=3, model="other", precision="half", index=HNSW(m=8))
    table = table_with(following)
    table.metadata.create_all(engine)
    fill(engine, table, 5)
    other = Length()
    other.model = "other"
    asynchronous = database.async_engine()
    column = next_version(table.c.embedding)
    assert (await EmbeddingWorker(asynchronous, other, column).work_async()).embedded == 5
    async with AsyncSession(asynchronous) as session:
        assert len((await session.execute(nearest(table, column, [1, 2, 3], 4))).all()) == 4
    async with asynchronous.begin() as connection:
        assert await switch(connection, table.c.embedding) == 5
    after = table_with(precision="half", model="other")
    with engine.begin() as connection, Session(connection) as session_:
        indexes = sa.inspect(connection).get_indexes("note")
        assert [index["name"] for index in indexes] == ['note_em"b %_hnsw']
        assert len(session_.execute(nearest(after, after.c.embedding, [1, 2, 3], 4)).all()) == 4


def test_the_switch_is_where_the_tenant_is(engine: sa.Engine) -> None:
    """
    A schema_translate_map holds for it: the rows of the same table beside keep their vectors.
    """
    table = during()
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Tenant"))
    tenant = engine.execution_options(schema_translate_map={None: "Tenant"})
    for each in (engine, tenant):
        table.metadata.create_all(each)
        fill(each, table, 5)
        EmbeddingWorker(each, Length(), table.c.embedding).work()
    following = next_version(table.c.embedding)
    assert EmbeddingWorker(tenant, NEW, following).work() == Worked(embedded=5)
    places = sa.text(
        "SELECT n.nspname, count(*), min(a.atttypmod) FROM pg_attribute AS a"
        " JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_index AS i ON i.indrelid = c.oid"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'note' AND attname = 'em\"b %' GROUP BY 1 ORDER BY 1"
    )
    with tenant.begin() as connection:
        assert switch(connection, table.c.embedding) == 5
        assert [tuple(row) for row in connection.execute(places)] == [
            ("Tenant", 2, 8),
            ("public", 2, 3),
        ]
    after = table_with(dimensions=8, model=NEW.model)
    [body] = NEW.embed(["note about 3 things"])
    with tenant.connect() as connection:
        assert connection.execute(nearest(after, after.c.embedding, body, 1)).one().id == 3
    with engine.connect() as connection:
        found = connection.scalars(sa.select(table.c.embedding)).all()
        assert [len(vector.to_list()) for vector in found] == [3] * 5


def test_what_does_not_fit_is_refused(engine: sa.Engine) -> None:
    """
    No source, no next version, an embedder of other dimensions or another model.
    """
    bare = sa.Table(
        "bare",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("e", VectorType(3, next_version=NextVersion(dimensions=3, model="m"))),
    )
    with pytest.raises(DeclarationError, match="no source"):
        pgultra.declare(bare, Rules("e"))
    with pytest.raises(DeclarationError, match="declares no next version"):
        next_version(table_with().c.embedding)
    column = next_version(during().c.embedding)
    with pytest.raises(DeclarationError, match="8 dimensions"):
        EmbeddingWorker(engine, Length(), column)
    with pytest.raises(DeclarationError, match="two models"):
        EmbeddingWorker(engine, HashingEmbedder(8, letters=()), column)
