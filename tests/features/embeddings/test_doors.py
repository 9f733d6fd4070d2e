from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.orm import Session

import pgultra
from pgultra import plan
from pgultra.features.embeddings import HNSW, Rules, VectorType, nearest
from pgultra.plan.adopt import adopt
from tests.features.embeddings.sample import Article, Base

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

pytestmark = pytest.mark.needs("vector")

HOSTILE = 'We"ird Näme %s :x'


def test_create_all_and_check(engine: sa.Engine) -> None:
    """
    create_all makes extension, table and indexes, and there is no drift then.
    """
    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, Base.metadata)
        connection.execute(sa.text("DROP INDEX article_embedding_hnsw"))
        assert len(plan.check(connection, Base.metadata).steps) == 1
    Base.metadata.drop_all(engine)


def test_a_migration_is_a_photograph(alembic_env: MigrationEnvironment) -> None:
    """
    Plain pgvector types and SQL, with its import; the second autogenerate is empty.
    """
    first = alembic_env.autogenerate(metadata=Base.metadata)
    assert "import pgultra" not in first.text
    assert "import pgvector.sqlalchemy" in first.text
    assert "VECTOR(dim=3)" in first.text
    alembic_env.upgrade()
    assert alembic_env.check(metadata=Base.metadata) == []
    assert alembic_env.autogenerate(metadata=Base.metadata).empty
    alembic_env.upgrade()
    alembic_env.downgrade()


def test_rows_that_were_there_before(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    The migration that brings the triggers names the call that puts old rows into the queue.
    """
    for embedded in (False, True):
        metadata = sa.MetaData()
        columns = [sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text)]
        if embedded:
            columns.append(sa.Column("embedding", VectorType(3, source="title", model="length")))
        table = sa.Table("note", metadata, *columns)
        if embedded:
            pgultra.declare(table, Rules("embedding"))
        revision = alembic_env.autogenerate(metadata=metadata)
        alembic_env.upgrade()
        if not embedded:
            assert "# then" not in revision.text
            with engine.begin() as connection:
                connection.execute(table.insert().values(id=1, title="old"))
    lines = map(str.strip, revision.text.splitlines())
    [call] = [line[2:] for line in lines if line.startswith("# pgultra.embeddings.")]
    with engine.begin() as connection:
        scope = {"pgultra": pgultra, "metadata": metadata, "connection": connection}
        assert eval(call, scope) == 1


def test_each_queue_is_named_by_its_vector() -> None:
    """
    Parents of chunks wait for the vector of the chunks; a next version is called by its own.
    """
    said = [each.advice for each in plan.collect(Base.metadata).values() if each.advice]
    columns = [(each.rows_of.name, each.text.partition("tables")[2][2:]) for each in said]
    assert sorted((table, text.partition("'")[0]) for table, text in columns) == [
        ("article", "article"),
        ("article", "chunk"),
        ("chunk", "chunk"),
        ("note", "note"),
        ("note", "note_embedding_next"),
    ]


def test_another_index_is_a_migration(alembic_env: MigrationEnvironment) -> None:
    """
    A change of metric rebuilds the index, and nothing else.
    """
    for metric in ("cosine", "l2"):
        metadata = sa.MetaData()
        table = sa.Table(
            "note",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("embedding", VectorType(3, index=HNSW(metric=metric, concurrently=True))),
        )
        pgultra.declare(table, Rules("embedding"))
        revision = alembic_env.autogenerate(metadata=metadata)
        alembic_env.upgrade()
    assert "vector_l2_ops" in revision.text
    assert "DROP INDEX CONCURRENTLY" in revision.text
    assert "add_column" not in revision.text
    assert alembic_env.check(metadata=metadata) == []


@pytest.mark.parametrize(
    ("declared", "built", "taken"),
    [
        (HNSW(), "", True),
        (HNSW(), "WITH (ef_construction=64)", True),
        (HNSW(m=24), "WITH (m=24)", True),
        (HNSW(concurrently=True), "", True),
        (HNSW(m=24), "", False),
        (HNSW(), "WITH (m=24)", False),
    ],
)
def test_an_index_that_says_nothing_has_pgvectors_defaults(
    engine: sa.Engine, declared: HNSW, built: str, taken: bool
) -> None:
    """
    One built by hand is taken over as it is, unless it is really another one.
    """
    metadata = sa.MetaData()
    vector = sa.Column("embedding", VectorType(3, index=declared))
    table = sa.Table("note", metadata, sa.Column("id", sa.Integer, primary_key=True), vector)
    pgultra.declare(table, Rules("embedding"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE EXTENSION vector; CREATE TABLE note (id int PRIMARY KEY, embedding vector(3));"
            "CREATE INDEX note_embedding_hnsw ON note"
            f" USING hnsw (embedding vector_cosine_ops) {built}"
        )
        number = "SELECT 'note_embedding_hnsw'::regclass::oid, relfilenode FROM pg_class"
        same = f"{number} WHERE relname = 'note_embedding_hnsw'"
        before = connection.exec_driver_sql(same).one()
        assert [each.adopted for each in adopt(connection, metadata)] == [taken]
        assert bool(plan.check(connection, metadata)) is not taken
        assert connection.exec_driver_sql(same).one() == before  # it was not built anew


@pytest.mark.parametrize("precision", ["single", "half", "bit"])
def test_hostile_names(engine: sa.Engine, precision: str) -> None:
    """
    Quotes, capitals, percent signs and colons, in another schema, through all of it.
    """
    metadata = sa.MetaData(schema='Sche"ma')
    table = sa.Table(
        HOSTILE,
        metadata,
        sa.Column('i"d', sa.Integer, primary_key=True),
        sa.Column('em"b %', VectorType(2, precision=precision), key="embedding"),
    )
    pgultra.declare(metadata, pgultra.Schema(name='Sche"ma'))
    pgultra.declare(table, Rules("embedding"))
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, metadata)
        rows = [{'i"d': n, "embedding": [1, n]} for n in range(1, 4)]
        connection.execute(table.insert(), rows)
        found = connection.execute(nearest(table, table.c.embedding, [1, 3], k=2)).all()
        assert [row[0] for row in found] == [3, 2]


def test_the_host_type_is_reflected_as_pgvectors(engine: sa.Engine) -> None:
    """
    What other tools see is a plain vector column.
    """
    Base.metadata.create_all(engine)
    [column] = [
        each for each in sa.inspect(engine).get_columns("article") if each["name"] == "embedding"
    ]
    assert isinstance(column["type"], VECTOR)
    with Session(engine) as session:
        session.add(Article(title="a", embedding=[1, 2, 3]))
        session.commit()
