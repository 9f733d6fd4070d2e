"""
What changes an index in place is seen, by a fingerprint of what the server prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Index, declare, plan

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def models(*columns: str, schema: str | None = "Shop", **options: Any) -> sa.MetaData:
    metadata = sa.MetaData()
    table = sa.Table(
        "Post",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.Text),
        *(sa.Column(name, sa.Text) for name in columns),
        schema=schema,
    )
    declare(table, Index.of(sa.Index("Post_slug", table.c.slug, **{"unique": True, **options})))
    return metadata


@pytest.fixture(autouse=True)
def schema(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Shop"')


def test_an_index_goes_with_its_column_and_comes_back_to_the_new_one(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    The column is renamed and a new one gets its name: the index stands on the wrong one.
    """
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate(metadata=models())
    alembic_env.upgrade()
    alembic_env.revision(
        "rename", upgrade='ALTER TABLE "Shop"."Post" RENAME COLUMN slug TO old_slug'
    )
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert plan.check(connection, models("old_slug"))
    alembic_env.autogenerate("new", metadata=models("old_slug"))
    alembic_env.upgrade()
    assert alembic_env.autogenerate("again", metadata=models("old_slug")).empty
    with engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("""INSERT INTO "Shop"."Post" (slug) VALUES ('a'), ('a')""")


def test_a_storage_parameter_that_was_set_is_drift(engine: sa.Engine) -> None:
    """
    ALTER INDEX … SET, and the repair.
    """
    metadata = models(postgresql_with={"fillfactor": 70})
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, metadata)
        connection.exec_driver_sql('ALTER INDEX "Shop"."Post_slug" SET (fillfactor = 90)')
        found = plan.check(connection, metadata)
        assert [str(step.identity) for step in found][:1] == ["index Post_slug on Shop.Post"]
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)


def test_what_prints_otherwise_is_looked_at_and_found_the_same(engine: sa.Engine) -> None:
    """
    Another name of the table changes the print and not the index.
    """
    metadata = models()
    metadata.create_all(engine)
    with engine.begin() as connection:
        mark = connection.exec_driver_sql(
            """SELECT obj_description('"Shop"."Post_slug"'::regclass)"""
        ).scalar_one()
        other = f"{mark[:-12]}{'0' * 12}"
        connection.exec_driver_sql(f"""COMMENT ON INDEX "Shop"."Post_slug" IS '{other}'""")
        assert not plan.check(connection, metadata)


def test_an_index_of_an_older_release_is_trusted_as_before(engine: sa.Engine) -> None:
    """
    Its mark has no second fingerprint, and nothing is built anew for that.
    """
    metadata = models(schema=None)
    metadata.create_all(engine)
    with engine.begin() as connection:
        mark = connection.exec_driver_sql(
            """SELECT obj_description('"Post_slug"'::regclass)"""
        ).scalar_one()
        old, _, printed = mark.rpartition(":")
        assert len(printed) == 12
        connection.exec_driver_sql(f"""COMMENT ON INDEX "Post_slug" IS '{old}'""")
        assert not plan.check(connection, metadata)


def test_a_users_own_words_stay_when_an_index_changes(
    engine: sa.Engine, alembic_env: MigrationEnvironment
) -> None:
    """
    Above the mark, there and back.
    """
    words = """SELECT split_part(obj_description('"Post_slug"'::regclass), E'\\n', 1)"""
    alembic_env.autogenerate(metadata=models(schema=None))
    alembic_env.upgrade()
    with engine.begin() as connection:
        mark = connection.exec_driver_sql(
            """SELECT obj_description('"Post_slug"'::regclass)"""
        ).scalar_one()
        connection.exec_driver_sql(f"""COMMENT ON INDEX "Post_slug" IS 'It''s mine\n{mark}'""")
    alembic_env.autogenerate("hash", metadata=models(schema=None, unique=False))
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert connection.exec_driver_sql(words).scalar_one() == "It's mine"
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(words).scalar_one() == "It's mine"
        assert not plan.check(connection, models(schema=None))
