"""
A generated vector that is dropped and added again has all that the old one had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import Check, ConflictingObjects, Index, Trigger, View, declare, plan
from pgultra.features.search import SearchVector, TSVector, TSVectorType
from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.alembic import MigrationEnvironment

BESIDE = """
SELECT 'constraint', conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
FROM pg_constraint WHERE conrelid = '"Shop"."Post"'::regclass AND contype IN ('c', 'u')
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid),
    obj_description(indexrelid, 'pg_class')
FROM pg_index WHERE indrelid = '"Shop"."Post"'::regclass
UNION ALL
SELECT 'column', attname, attacl::text, concat(attnotnull, col_description(attrelid, attnum))
FROM pg_attribute WHERE attrelid = '"Shop"."Post"'::regclass AND attname = 'Found'
ORDER BY 1, 2
"""


@pytest.fixture
def role(engine: sa.Engine, owner: tuple[str, str]) -> Iterator[str]:
    """
    A role that is given rights; they are dropped at the end.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Shop"')
    yield owner[0]
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {owner[0]}")


def posts(config: str, **options: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    vector = TSVectorType({"title": "A"}, config=config, mode="generated", **options)
    table = sa.Table(
        "Post",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("Found", vector),
        sa.CheckConstraint('length("Found") < 1000', name="Short"),
        sa.UniqueConstraint("id", "Found", name="Once"),
        schema="Shop",
    )
    common: dict[str, Any] = {"table": "Post", "schema": "Shop"}
    mine = sa.Index("mine", table.c.Found, postgresql_using="gin", postgresql_where=table.c.id > 5)
    sa.Index("Theirs", table.c.Found, "id")  # the host's own
    declare(
        table,
        Index.of(mine),
        Check(name="some", condition='"Found" IS NOT NULL', **common),
        View(name="found", schema="Shop", query='SELECT id, "Found" FROM "Shop"."Post"'),
        Trigger(
            name="aside",
            timing="AFTER",
            events=("UPDATE",),
            when="old.title IS DISTINCT FROM new.title",
            function="suppress_redundant_updates_trigger",
            function_schema="pg_catalog",
            **common,
        ),
        Trigger(
            name="on_it",
            timing="AFTER",
            events=("UPDATE",),
            when='old."Found" IS DISTINCT FROM new."Found"',
            function="suppress_redundant_updates_trigger",
            function_schema="pg_catalog",
            **common,
        ),
    )
    return metadata


def test_what_stands_on_it_comes_back(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str
) -> None:
    """
    Constraints, indexes, grants, NOT NULL, words: ours, the host's and a stranger's.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=posts("english"))
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'ALTER TABLE "Shop"."Post" ALTER COLUMN "Found" SET NOT NULL; '
            f'GRANT SELECT ("Found"), UPDATE (title) ON "Shop"."Post" TO {role}; '
            'COMMENT ON CONSTRAINT "Short" ON "Shop"."Post" IS \'it\'\'s short\'; '
            """COMMENT ON INDEX "Shop"."Theirs" IS 'theirs'"""
        )
        before = connection.exec_driver_sql(BESIDE).all()
        connection.exec_driver_sql("""INSERT INTO "Shop"."Post" (title) VALUES ('Füchse')""")
    revision = alembic_env.autogenerate("german", metadata=posts("german"))
    assert "on_it" in revision.text
    assert "aside" not in revision.text
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert connection.exec_driver_sql(BESIDE).all() == before
        assert not plan.check(connection, posts("german"))
        found = connection.exec_driver_sql('SELECT "Found"::text FROM "Shop".found').scalar_one()
        assert found == "'fuchs':1A"
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(BESIDE).all() == before
        assert not plan.check(connection, posts("english"))


def test_its_index_may_change_with_it(
    engine: sa.Engine, alembic_env: MigrationEnvironment, role: str
) -> None:
    """
    Each has its own step; one that is built CONCURRENTLY is built with the column.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=posts("english"))
    alembic_env.upgrade()
    changed = posts("german", fastupdate=False, concurrently=True)
    revision = alembic_env.autogenerate("german", metadata=changed)
    assert "CONCURRENTLY" not in revision.text
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert not plan.check(connection, changed)
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert not plan.check(connection, posts("english"))


def test_a_strangers_view_stops_the_plan(engine: sa.Engine, role: str) -> None:
    """
    It is named before anything is dropped.
    """
    posts("english").create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE VIEW "Shop"."Stranger" AS SELECT "Found" FROM "Shop"."Post"'
        )
        found = plan.check(connection, posts("german"))
    with pytest.raises(ConflictingObjects, match=r"Stranger.*made anew"):
        found.insist()


@pytest.mark.filterwarnings("ignore:.*BEFORE UPDATE row triggers")  # the room's own
def test_the_live_view_of_soft_delete_gives_way(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    It lists all columns; its grants come back with it.
    """

    def models(config: str) -> sa.MetaData:
        class Base(DeclarativeBase):
            pass

        class Post(SoftDelete, Base):
            __tablename__ = "post"
            __soft_delete__ = SoftDeleteOptions(view=True)
            id: Mapped[int] = mapped_column(primary_key=True)
            title: Mapped[str]
            search: Mapped[TSVector] = SearchVector({"title": "A"}, config=config, mode="generated")

        return Base.metadata

    alembic_env.autogenerate(metadata=models("english"))
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql("GRANT SELECT ON post_live TO PUBLIC")
    german = models("german")
    revision = alembic_env.autogenerate("german", metadata=german)
    assert "TRIGGER" not in revision.text
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=german).empty
    query = "SELECT has_table_privilege('public', 'post_live', 'SELECT')"
    with engine.connect() as connection:
        assert connection.exec_driver_sql(query).scalar_one()
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(query).scalar_one()
        assert not plan.check(connection, models("english"))
