from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

import pgultra
from pgultra import DeclarationError, PgultraWarning, plan
from pgultra.features.embeddings import (
    HNSW,
    IVFFlat,
    Rules,
    VectorType,
    build_index,
    bulk_copy,
    nearest,
    recall,
)
from pgultra.plan.script import script

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


def table_with(index: Any, **options: Any) -> sa.Table:
    """
    A declared table.
    """
    table = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("embedding", VectorType(16, index=index, **options)),
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def fill(connection: sa.Connection, table: sa.Table, count: int = 3000) -> None:
    """
    Random vectors.
    """
    random = np.random.default_rng(5)
    rows = random.normal(size=(count, 16)).astype("f4")
    bulk_copy(connection, table, ({"id": n, "embedding": row} for n, row in enumerate(rows)))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "half", "bit"])
def test_recall_is_a_share(connection: sa.Connection, precision: str) -> None:
    """
    Between 0 and 1, and better with more effort.
    """
    table = table_with(HNSW(m=4, ef_construction=16), precision=precision)
    table.metadata.create_all(connection)
    assert recall(connection, table.c.embedding) == 1.0
    fill(connection, table)
    plain = recall(connection, table.c.embedding, 20)
    assert 0.2 < plain <= recall(connection, table.c.embedding, 20, effort=400) + 0.2 <= 1.2


@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_one_measurement_leaves_no_setting_for_the_next(engine: sa.Engine, level: Any) -> None:
    """
    An effort, or the many candidates of bits, hold for the searches that ask for them alone.
    """
    table = table_with(HNSW(m=4, ef_construction=16), precision="bit")
    table.metadata.create_all(engine)
    effort = sa.text("SELECT current_setting('hnsw.ef_search')")
    with engine.connect().execution_options(isolation_level=level) as connection:
        fill(connection, table, 300)
        before = connection.scalar(effort)
        recall(connection, table.c.embedding, 2, effort=300)
        recall(connection, table.c.embedding, 2)
        assert connection.scalar(effort) == before


async def test_recall_is_for_async_connections_too(database: Database, engine: sa.Engine) -> None:
    """
    The same function, awaited.
    """
    table = table_with(HNSW())
    table.metadata.create_all(engine)
    async with database.async_engine().begin() as connection:
        await connection.run_sync(fill, table, 300)
        assert await recall(connection, table.c.embedding, 5) > 0.9


def test_ivfflat_is_built_after_the_load(engine: sa.Engine) -> None:
    """
    Not by create_all, not on an empty table; its lists come from the rows, and it is used.
    """
    table = table_with(IVFFlat(metric="l2"))
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_indexes("note") == []
        with pytest.warns(PgultraWarning, match="load first"):
            assert build_index(connection, table.c.embedding) is None
        fill(connection, table)
        for _ in range(2):
            assert build_index(connection, table.c.embedding) == "note_embedding_ivfflat"
        definition = sa.text("SELECT pg_get_indexdef('note_embedding_ivfflat'::regclass)")
        assert "lists='10'" in str(connection.scalar(definition))
        statement = nearest(table, table.c.embedding, [0.1] * 16, 50, plan="index")
        assert len(connection.execute(statement).all()) == 50
        assert recall(connection, table.c.embedding, 10) > 0.9
        assert plan.check(connection, table.metadata).steps == ()
    assert not table.indexes


def test_an_ivfflat_index_built_later_is_no_drift(alembic_env: MigrationEnvironment) -> None:
    """
    A missing one is not created, a built one is left as it is, one of no use is dropped.
    """
    one, other, gone = (
        table_with(IVFFlat(metric="l2")),
        table_with(IVFFlat(metric="cosine", lists=7)),
        table_with(None),
    )
    first = alembic_env.autogenerate(metadata=one.metadata)
    assert "ivfflat" not in first.text
    alembic_env.upgrade()
    assert alembic_env.autogenerate(metadata=one.metadata).empty
    alembic_env.upgrade()
    with alembic_env.engine.begin() as connection:
        fill(connection, one, 500)
        build_index(connection, one.c.embedding)
    assert alembic_env.check(metadata=one.metadata) == []
    assert alembic_env.autogenerate(metadata=one.metadata).empty
    alembic_env.upgrade()
    second = alembic_env.autogenerate(metadata=other.metadata)
    up, down = second.text.split("def downgrade")
    assert "DROP INDEX note_embedding_ivfflat" in up
    assert "CREATE INDEX" not in up
    assert "CREATE INDEX note_embedding_ivfflat" in down
    alembic_env.upgrade()
    with alembic_env.engine.begin() as connection:
        build_index(connection, other.c.embedding)
        definition = sa.text("SELECT pg_get_indexdef('note_embedding_ivfflat'::regclass)")
        assert "lists='7'" in str(connection.scalar(definition))
    assert alembic_env.check(metadata=other.metadata) == []
    third = alembic_env.autogenerate(metadata=gone.metadata)
    assert third.text.split("def downgrade")[0].count("DROP INDEX") == 1
    alembic_env.upgrade()
    assert alembic_env.autogenerate(metadata=gone.metadata).empty


def test_offline_sql_leaves_out_what_is_built_later() -> None:
    """
    Neither an index nor a comment on one that is not there.
    """
    metadata = table_with(IVFFlat()).metadata
    for tables in (True, False):
        assert not any("ivfflat" in each for each in script(metadata, tables=tables))


def test_hnsw_can_be_built_anew(engine: sa.Engine) -> None:
    """
    Dropped for a load, built afterwards as it is declared; a column without one is refused.
    """
    table = table_with(HNSW())
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX note_embedding_hnsw"))
        assert len(plan.check(connection, table.metadata).steps) == 1
        fill(connection, table, 100)
        assert build_index(connection, table.c.embedding) == "note_embedding_hnsw"
        assert plan.check(connection, table.metadata).steps == ()
        none = table_with(None)
        with pytest.raises(DeclarationError, match="no index"):
            build_index(connection, none.c.embedding)
    assert len(table.indexes) == 1


@pytest.mark.parametrize("index", [HNSW(), IVFFlat(metric="l2")])
def test_an_index_is_built_where_the_tenant_is(engine: sa.Engine, index: Any) -> None:
    """
    A schema_translate_map holds for it: the table of the same name beside keeps its own.
    """
    table = table_with(index)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Tenant"))
    tenant = engine.execution_options(schema_translate_map={None: "Tenant"})
    table.metadata.create_all(tenant)
    files = sa.text(
        "SELECT relnamespace::regnamespace::text, relfilenode FROM pg_class"
        " WHERE relname = :name ORDER BY 1"
    )
    name = {"name": f"note_embedding_{index.method}"}
    with tenant.begin() as connection:
        fill(connection, table, 100)
        before = {row[0]: row[1] for row in connection.execute(files, name)}
        assert build_index(connection, table.c.embedding) == name["name"]
        after = {row[0]: row[1] for row in connection.execute(files, name)}
        assert after.pop('"Tenant"') != before.pop('"Tenant"', None)
        assert after == before
        statement = nearest(table, table.c.embedding, [0.1] * 16, 50, plan="index")
        assert len(connection.execute(statement).all()) == 50


@pytest.mark.parametrize("index", [HNSW(), IVFFlat(), None])
def test_an_old_pgvector_is_warned_of(alembic_env: MigrationEnvironment, index: Any) -> None:
    """
    By create_all, check, autogenerate and recall, with each reason; not without an index.
    """
    table, engine = table_with(index), alembic_env.engine

    def through_alembic(connection: sa.Connection) -> None:
        alembic_env.autogenerate(metadata=table.metadata).path.unlink()

    calls = (
        table.metadata.create_all,
        lambda connection: plan.check(connection, table.metadata),
        lambda connection: recall(connection, table.c.embedding),
        through_alembic,
    )
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    reasons = {"0.8.0": "iterative scans", "0.8.4": "REINDEX"}
    wants = {} if index is None else dict(list(reasons.items())[: 1 + isinstance(index, HNSW)])
    for version, reached in (("0.7.4", 0), ("0.8.0", 1), ("0.8.4", 2)):
        with engine.begin() as connection:
            pretend = "UPDATE pg_extension SET extversion = :version WHERE extname = 'vector'"
            connection.execute(sa.text(pretend), {"version": version})
        missed = [each for each in wants if each in list(reasons)[reached:]]
        for call in calls:
            with warnings.catch_warnings(record=True) as caught, engine.begin() as connection:
                warnings.simplefilter("always")
                call(connection)
            ours = (each for each in caught if issubclass(each.category, PgultraWarning))
            words = list(dict.fromkeys(str(each.message) for each in ours))
            assert len(words) == len(missed)
            for each, least in zip(words, missed, strict=True):
                assert f"vector {version} is older than {least}: " in each
                assert reasons[least] in each
        table.metadata.drop_all(engine)


@pytest.mark.slow
@pytest.mark.once
def test_recall_is_what_numpy_finds(connection: sa.Connection) -> None:
    """
    Of a graph so thin that a part of the true neighbours is missed.
    """
    table = table_with(HNSW(m=2, ef_construction=4), metric="l2")
    table.metadata.create_all(connection)
    connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
    connection.execute(sa.text("SET LOCAL jit = off"))  # what is off costs enough to compile it
    fill(connection, table, 200)
    stored = connection.execute(sa.select(table).order_by(table.c.id)).all()
    rows = np.array([row.embedding.to_numpy() for row in stored], "f8")
    away = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(away, np.inf)
    hits = 0
    for own, true in enumerate(np.argsort(away)[:, :10]):
        near = nearest(sa.select(table.c.id), table.c.embedding, rows[own], 11, plan="index")
        hits += len(set(connection.scalars(near)) - {own} & set(true.tolist()))
    share = hits / 2000
    assert 0.2 < share < 0.97
    assert recall(connection, table.c.embedding, 200) == pytest.approx(share, abs=1e-3)


@pytest.mark.once
def test_recall_under_a_filter_is_that_of_nearest(connection: sa.Connection) -> None:
    """
    Exact where few match; else the index's, and rows that do not match are looked for, too.
    """
    table = table_with(HNSW(m=2, ef_construction=4), metric="l2")
    table.metadata.create_all(connection)
    connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
    connection.execute(sa.text("SET LOCAL jit = off"))
    fill(connection, table, 1500)
    column = table.c.embedding
    assert recall(connection, column, 20, where=table.c.id < 100) == 1.0
    assert recall(connection, column, 5, where=table.c.id < 0) == 1.0  # nothing to find
    stored = connection.execute(sa.select(table).order_by(table.c.id)).all()
    rows = np.array([row.embedding.to_numpy() for row in stored], "f8")
    some = sa.text("note.id % 5 > 0")  # 1,200 rows: for one neighbour that is not few
    chosen = [number for number, row in enumerate(stored) if row.id % 5 > 0]
    hits = 0
    for vector in rows:
        true = np.argmin(np.linalg.norm(rows[chosen] - vector, axis=1))
        near = nearest(sa.select(table.c.id).where(some), column, vector, 1)
        hits += connection.scalar(near) == stored[chosen[true]].id
    share = hits / len(rows)
    assert 0.2 < share < 0.99
    found = recall(connection, column, len(rows), k=1, where=some)
    assert found == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("index", [HNSW(), IVFFlat(metric="l2")])
@pytest.mark.parametrize("precision", ["single", "half"])
def test_recall_without_the_index_is_warned_of(
    connection: sa.Connection, index: Any, precision: str
) -> None:
    """
    Dropped for a load, or not built yet: there is nothing to measure; and no word once it is.
    """
    table = table_with(index, precision=precision)
    table.metadata.create_all(connection)
    connection.execute(sa.text("DROP INDEX IF EXISTS note_embedding_hnsw"))
    fill(connection, table, 50)
    with pytest.warns(PgultraWarning, match=rf"note\.embedding has no {index.method} index"):
        assert recall(connection, table.c.embedding, 2) == 1.0
    build_index(connection, table.c.embedding)
    recall(connection, table.c.embedding, 2)
    recall(connection, table.alias().c.embedding, 2)
