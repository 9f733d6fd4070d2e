"""
What calls a function that must be made anew, or that goes: strangers stop autogenerate.

Else the migration would hold a DROP that PostgreSQL refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import ConflictingObjects, Extension, Function, View, declare, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

CHOSEN = "n bigint"


def shop(returns: str | None, *, schema: str | None = None, caller: str = "") -> sa.MetaData:
    """
    A function, and a table with a plain default, check, index or nothing that calls it.
    """
    metadata = sa.MetaData()
    if returns is not None:
        function = Function(
            name="Rate",
            schema=schema,
            arguments=CHOSEN,
            returns=returns,
            volatility="immutable",
            body="begin return 1; end",
        )
        declare(metadata, function)
    name = '"Rate"' if schema is None else f'"{schema}"."Rate"'
    default = sa.text(f"{name}(1)") if caller == "default" else None
    table = sa.Table(
        "Item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.BigInteger, server_default=default),
        schema=schema,
    )
    if caller == "check":
        table.append_constraint(sa.CheckConstraint(f"{name}(n) > 0", name="rated"))
    if caller == "index":
        sa.Index("by_rate", sa.text(f"{name}(n)"), _table=table)
    if caller == "computed":
        table.append_column(
            sa.Column("rate", sa.BigInteger, sa.Computed(f"{name}(n)", persisted=True))
        )
    return metadata


def migrated(environment: MigrationEnvironment, metadata: sa.MetaData) -> None:
    """
    One migration, run; nothing is left to do afterwards.
    """
    environment.autogenerate("step", metadata=metadata)
    environment.upgrade()
    assert environment.check(metadata=metadata) == []


@pytest.mark.slow
@pytest.mark.parametrize("schema", [None, "Shop"])
@pytest.mark.parametrize(
    ("caller", "told"),
    [
        ("default", "column n on {place}Item"),
        ("check", "check rated on {place}Item"),
        ("index", "index by_rate on {place}Item"),
        ("computed", "column rate on {place}Item"),
    ],
)
def test_plain_callers_in_the_models(
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
    schema: str | None,
    caller: str,
    told: str,
) -> None:
    """
    Of a function whose result changes, or that is not declared any more.
    """
    if schema is not None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
    alembic_env.configure(include_schemas=schema is not None)
    migrated(alembic_env, shop("integer", schema=schema, caller=caller))
    said = told.format(place="" if schema is None else f"{schema}.")
    for returns, why in (("bigint", "whose result changes"), (None, "which is no longer declared")):
        with pytest.raises(ConflictingObjects) as caught:
            alembic_env.autogenerate(metadata=shop(returns, schema=schema, caller=caller))
        assert f"{said}: it stands on function" in str(caught.value)
        assert why in str(caught.value)


@pytest.mark.parametrize("caller", ["default", "index", "computed", "table"])
def test_callers_that_go_in_the_same_migration(
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
    database: Database,
    dump: Callable[..., str],
    caller: str,
) -> None:
    """
    The default is taken away, the index, the column or the table is dropped: nobody is asked.
    """
    alembic_env.configure(compare_server_default=True)
    migrated(alembic_env, shop("integer", caller="default" if caller == "table" else caller))
    with engine.begin() as connection:
        connection.exec_driver_sql('INSERT INTO "Item" (id, n) VALUES (1, 2)')
    before = dump(database)
    less = shop("bigint")
    if caller == "table":
        less.remove(less.tables["Item"])
    migrated(alembic_env, less)
    if caller != "table":
        with engine.connect() as connection:
            assert connection.exec_driver_sql('SELECT n FROM "Item"').scalar() == 2
    alembic_env.downgrade("-1")
    assert dump(database) == before
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert not plan.check(connection, less)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ('CREATE POLICY p ON "Item" USING ("Rate"(n) > 0)', "policy p on Item"),
        ('CREATE VIEW theirs AS SELECT "Rate"(n) AS x FROM "Item"', "view theirs"),
        ('CREATE DOMAIN rated AS bigint CHECK ("Rate"(VALUE) > 0)', None),
        ('CREATE AGGREGATE whole (bigint) (SFUNC = "Sum", STYPE = bigint)', None),
    ],
)
def test_strangers(
    alembic_env: MigrationEnvironment, engine: sa.Engine, statement: str, told: str | None
) -> None:
    """
    Of whatever kind; who does not call it is left alone.
    """
    migrated(alembic_env, shop("integer"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION \"Sum\"(bigint, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1'"
        )
        connection.exec_driver_sql(statement)
    if told is None:
        return
    with pytest.raises(ConflictingObjects) as caught:
        alembic_env.autogenerate(metadata=shop("bigint"))
    assert f"{told}: it stands on function" in str(caught.value)
    with engine.connect() as connection:  # the body alone changes in place
        assert not plan.check(connection, shop("integer")).conflicts


def test_a_table_that_goes_takes_its_policy_along(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    As it takes the stranger's trigger.
    """
    migrated(alembic_env, shop("integer"))
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE POLICY p ON "Item" USING ("Rate"(n) > 0)')
    less = shop("bigint")
    less.remove(less.tables["Item"])
    migrated(alembic_env, less)


def test_one_function_in_the_default_of_another(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Both are ours and go together: that is no conflict.
    """
    metadata = shop("integer")
    declare(
        metadata,
        Function(
            name="rated",
            arguments='n integer DEFAULT "Rate"(1)',
            returns="integer",
            body="begin return n; end",
        ),
        View(name="rates", query="SELECT rated(2) AS rate"),
    )
    migrated(alembic_env, metadata)
    migrated(alembic_env, shop(None))
    with engine.connect() as connection:
        assert not plan.check(connection, shop(None))


@pytest.mark.needs("pg_trgm")
def test_an_extension_alone(
    alembic_env: MigrationEnvironment, engine: sa.Engine, database: Database
) -> None:
    """
    Its downgrade does nothing, and can be read by Python.
    """
    metadata = sa.MetaData()
    declare(metadata, Extension(name="pg_trgm"))
    migrated(alembic_env, metadata)
    alembic_env.downgrade()
    alembic_env.upgrade()
    found: Any = sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
    with engine.connect() as connection:
        assert connection.scalar(found) == 1
