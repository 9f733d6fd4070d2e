"""
Which schemas a check judges: those of the models, and not those of other tenants.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from pgultra import Function, Schema, SoftDelete, View, declare, plan
from pgultra.features.soft_delete import SoftDeleteOptions

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

TENANTS = ("tenant_7", "Tenant 8")
VIEWS = "SELECT schemaname, viewname FROM pg_views WHERE schemaname ILIKE 'tenant%%' ORDER BY 1, 2"


def posts() -> sa.MetaData:
    """
    Soft-deletable posts with a live view, a function and a view of our own.
    """

    class Base(DeclarativeBase):
        pass

    class Post(SoftDelete, Base):
        __tablename__ = "Post"
        __soft_delete__ = SoftDeleteOptions(view=True)
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str]

    configure_mappers()
    declare(
        Base.metadata,
        Function(
            name="twice", arguments="n integer", returns="integer", body="begin return n; end"
        ),
        View(name="slugs", query='SELECT slug FROM "Post"'),
    )
    return Base.metadata


def enter(connection: sa.Connection, tenant: str) -> None:
    """
    Set the path for this transaction, as the how-to says.
    """
    connection.exec_driver_sql(f'SET LOCAL search_path = "{tenant}"')


@pytest.fixture
def tenants(engine: sa.Engine) -> sa.MetaData:
    """
    The models, in the schemas of two tenants, with rows.
    """
    metadata = posts()
    for tenant in TENANTS:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'CREATE SCHEMA "{tenant}"')
            enter(connection, tenant)
            metadata.create_all(connection)
            connection.exec_driver_sql("""INSERT INTO "Post" (id, slug) VALUES (1, 'a')""")
    return metadata


def test_the_repair_of_one_leaves_the_others(engine: sa.Engine, tenants: sa.MetaData) -> None:
    """
    There is nothing to do; and when there is, it is done in one schema.
    """
    with engine.begin() as connection:
        before = connection.exec_driver_sql(VIEWS).all()
        for tenant in TENANTS:
            enter(connection, tenant)
            assert [str(step) for step in plan.check(connection, tenants)] == []
    with engine.begin() as connection:
        enter(connection, TENANTS[0])
        connection.exec_driver_sql("DROP VIEW slugs")
        found = plan.check(connection, tenants)
        assert [str(step) for step in found] == ["create view slugs"]
        plan.apply(found, connection)
        assert connection.exec_driver_sql(VIEWS).all() == before
    with engine.begin() as connection:
        enter(connection, TENANTS[1])
        assert connection.exec_driver_sql("SELECT twice(2), slug FROM slugs").all() == [(2, "a")]


def test_autogenerate_over_all_schemas(
    alembic_env: MigrationEnvironment, engine: sa.Engine, tenants: sa.MetaData
) -> None:
    """
    With include_schemas too: what the models name, and nothing else.
    """
    with engine.begin() as connection:
        tenants.create_all(connection)

    def not_theirs(item: Any, name: str, kind: str, reflected: bool, other: Any) -> bool:
        return not (kind == "table" and reflected and item.schema)

    alembic_env.configure(include_schemas=True, include_object=not_theirs)
    assert alembic_env.autogenerate(metadata=tenants).empty


def test_schemas_that_go_are_judged(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    With their tables, or because pgultra made them: what is in them goes too.
    """
    metadata = sa.MetaData()
    sa.Table("Item", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="Shop")
    declare(
        metadata,
        Schema(name="Shop"),
        Schema(name="Tools"),
        View(name="ids", schema="Shop", query='SELECT id FROM "Shop"."Item"'),
        Function(name="f", schema="Tools", arguments="", returns="integer", body="begin end"),
    )
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate("first", metadata=metadata)
    alembic_env.upgrade()
    with engine.connect() as connection:
        found = {str(step) for step in plan.check(connection, sa.MetaData())}
    assert {"drop function Tools.f()", "drop view Shop.ids", "drop schema Tools"} <= found
    alembic_env.autogenerate("then", metadata=sa.MetaData())
    alembic_env.upgrade()
    assert alembic_env.check(metadata=sa.MetaData()) == []


def test_applications_of_their_own_leave_each_other_alone(engine: sa.Engine) -> None:
    """
    Two MetaData in one schema, each under its name.
    """
    one = sa.MetaData(info={"pgultra.app": "one"})
    two = sa.MetaData(info={"pgultra.app": "two"})
    for metadata, name in ((one, "a"), (two, "b")):
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))
        declare(metadata, View(name=f"v_{name}", query=f"SELECT id FROM {name}"))
        metadata.create_all(engine)
    with engine.connect() as connection:
        assert not plan.check(connection, one)
        assert not plan.check(connection, two)
        assert [str(each) for each in plan.check(connection, sa.MetaData())] == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_connection_is_awaited(database: Database, driver: str) -> None:
    """
    The same plan, which ``run_sync`` applies.
    """
    metadata = posts()
    metadata.create_all(database.engine())
    engine = database.async_engine(driver)

    async def ask() -> None:
        async with engine.begin() as connection:
            assert not await plan.check(connection, metadata)
            await connection.exec_driver_sql("DROP VIEW slugs")
            missing = await plan.check(connection, metadata, schemas=frozenset({"public"}))
            assert [str(step) for step in missing] == ["create view slugs"]
            await connection.run_sync(lambda each: plan.apply(missing, each))
            assert not await plan.check(connection, metadata)
        await engine.dispose()

    asyncio.run(ask())
