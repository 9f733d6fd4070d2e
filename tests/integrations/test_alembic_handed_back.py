"""
Indexes and checks that were pgultra's, and that the models now declare without it.

They are still wanted: the database is right after one migration, and after taking it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from pgultra import Check, Index, SoftDelete, declare, plan, soft_delete

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

LIVE = sa.text("deleted_at IS NULL")


def posts(*arguments: Any, soft: bool = True) -> sa.MetaData:
    """
    Posts with a slug, soft-deletable or with the columns only.
    """

    class Base(DeclarativeBase):
        pass

    class Columns:
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column("Slug")
        deleted_at: Mapped[Any] = mapped_column(sa.DateTime(timezone=True), nullable=True)
        deleted_by: Mapped[Any] = mapped_column(sa.Text, nullable=True)
        deletion_id: Mapped[Any] = mapped_column(sa.Uuid, nullable=True)

    bases = (SoftDelete, Columns, Base) if soft else (Columns, Base)
    type("Post", bases, {"__tablename__": "Post", "__table_args__": arguments})
    configure_mappers()
    return Base.metadata


def items(index: Any = None, check: str | None = None, *, ours: bool = False) -> sa.MetaData:
    """
    A table in a schema of its own, with an index and a check, ours or plain.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "Item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("Size", sa.Integer),
        schema="Shop",
    )
    if index is not None:
        made = sa.Index("item_size", table.c.Size, **index)
        if ours:
            declare(table, Index.of(made))
    if check is not None and ours:
        declare(table, Check(name="Fits", table="Item", schema="Shop", condition=check))
    elif check is not None:
        table.append_constraint(sa.CheckConstraint(check, name="Fits"))
    return metadata


def migrated(environment: MigrationEnvironment, metadata: sa.MetaData) -> str:
    """
    The upgrade of one migration, run; nothing is left to do afterwards.
    """
    text = environment.autogenerate("step", metadata=metadata).text
    environment.upgrade()
    assert environment.check(metadata=metadata) == []
    return text.partition("def downgrade")[0]


def indexes(engine: sa.Engine, table: str, schema: str | None = None) -> dict[Any, Any]:
    """
    The unique indexes of a table, with what they are of and their condition.
    """
    found = sa.inspect(engine).get_indexes(table, schema)
    return {
        each["name"]: (each["column_names"], each["dialect_options"].get("postgresql_where"))
        for each in found
        if each["unique"]
    }


@pytest.mark.parametrize("soft", [True, False])
def test_an_equal_index_only_loses_its_mark(
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
    database: Database,
    dump: Callable[..., str],
    soft: bool,
) -> None:
    """
    ``unique_live`` that became an Index of the same name, with soft delete or without.
    """
    migrated(alembic_env, posts(soft_delete.unique_live("slug")))
    before, dumped = indexes(engine, "Post"), dump(database)
    (name,) = before
    with engine.begin() as connection:
        connection.exec_driver_sql("""INSERT INTO "Post" (id, "Slug") VALUES (1, 'a')""")
    plain = posts(sa.Index(name, "Slug", unique=True, postgresql_where=LIVE), soft=soft)
    upgrade = migrated(alembic_env, plain)
    assert f'COMMENT ON INDEX "{name}" IS NULL' in upgrade.replace("\\", "")
    assert f'DROP INDEX "{name}"' not in upgrade
    assert indexes(engine, "Post") == before
    with engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("""INSERT INTO "Post" (id, "Slug") VALUES (2, 'a')""")
    alembic_env.downgrade("-1")
    assert dump(database) == dumped


def test_another_definition_is_made_anew(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Also where Alembic sees no difference: it does not compare conditions.
    """
    migrated(alembic_env, posts(soft_delete.unique_live("slug")))
    (name,) = indexes(engine, "Post")
    migrated(alembic_env, posts(sa.Index(name, "Slug", unique=True), soft=False))
    assert indexes(engine, "Post") == {name: (["Slug"], None)}
    alembics_alone = posts(sa.Index(name, "Slug", "id", unique=True), soft=False)
    migrated(alembic_env, alembics_alone)
    assert indexes(engine, "Post") == {name: (["Slug", "id"], None)}
    alembic_env.downgrade("-2")
    assert [condition for _, condition in indexes(engine, "Post").values()] == [
        "(deleted_at IS NULL)"
    ]


@pytest.mark.parametrize(
    ("index", "check", "verbs"),
    [
        ({"unique": True}, '"Size" > 1', {"unmark"}),
        ({"unique": True}, '"Size" > 2', {"unmark", "replace"}),
        ({"unique": False}, '"Size" > 1', {"unmark", "replace"}),
        (None, '"Size" > 1', {"unmark", "drop"}),
    ],
)
def test_index_and_check_in_a_schema(
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
    database: Database,
    dump: Callable[..., str],
    index: Any,
    check: str,
    verbs: set[str],
) -> None:
    """
    Both kinds, equal or not; what the models have no more is dropped as before.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Shop"')
    alembic_env.configure(include_schemas=True)
    migrated(alembic_env, items({"unique": True}, '"Size" > 1', ours=True))
    before, plain = dump(database), items(index, check)
    with engine.connect() as connection:
        found = plan.check(connection, plain)
    # a step that is not in place stands in the plan as its halves
    halves = {"create": "replace", "drop": "replace" if index else "drop"}
    assert {halves.get(step.verb, step.verb) for step in found} == verbs
    migrated(alembic_env, plain)
    with engine.connect() as connection:
        assert not plan.check(connection, plain)
        (constraint,) = sa.inspect(connection).get_check_constraints("Item", "Shop")
    assert constraint["sqltext"].replace("(", "").replace(")", "") == check
    assert bool(indexes(engine, "Item", "Shop")) == bool(index and index["unique"])
    alembic_env.downgrade("-1")
    assert dump(database) == before
