"""
A migration finds the partition it means, however its bound is spelt, and drops no row unseen.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import ByHash, ByList, ByRange, declare
from tests.features.partitions.upkeep_stage import children
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from pathlib import Path

    from pgultra.features.partitions.rules import Rules


def keyed(type_: Any, rules: Rules, name: str = "Post", *, referred: bool = False) -> sa.MetaData:
    """
    A table divided by the column ``k``; with another that refers to it, if so said.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("k", type_, primary_key=True),
        schema="Shop",
    )
    declare(table, rules)
    if referred:
        sa.Table(
            "ref",
            metadata,
            sa.Column("rid", sa.Integer, primary_key=True),
            sa.Column("tid", sa.BigInteger),
            sa.Column("tk", type_),
            sa.ForeignKeyConstraint(["tid", "tk"], [table.c.id, table.c.k]),
        )
    return metadata


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def shop(engine: sa.Engine, alembic_env: MigrationEnvironment) -> sa.Engine:
    """
    A schema with a capital, which migrations see to.
    """
    run(engine, 'CREATE SCHEMA "Shop"')
    alembic_env.configure(include_schemas=True)
    return engine


@pytest.mark.parametrize(
    ("type_", "groups", "more"),
    [
        (sa.CHAR(3), ("DE", "FR"), ("DE", "FR", "IT")),
        (sa.Numeric(10, 2), (1, 2), (1, 2, 3)),
    ],
    ids=["char", "numeric"],
)
def test_a_value_more_in_a_group_that_postgresql_spells_otherwise(
    alembic_env: MigrationEnvironment, shop: sa.Engine, type_: Any, groups: Any, more: Any
) -> None:
    """
    The partition takes the new value, although its bound reads ``'DE '`` or ``1.00``.
    """
    for values in (groups, more):
        metadata = keyed(type_, ByList("k", {"a": values}))
        alembic_env.autogenerate("next", metadata=metadata)
        alembic_env.upgrade()
    run(shop, *(f'INSERT INTO "Shop"."Post" VALUES (1, \'{value}\')' for value in more))
    with shop.connect() as connection:
        assert children(connection, "Post") == ['"Shop"."Post_a"']


def test_a_group_whose_values_stand_in_another_order(
    alembic_env: MigrationEnvironment, shop: sa.Engine
) -> None:
    """
    A partition by hand with the same values is the one that a new value is for.
    """
    run(
        shop,
        'CREATE TABLE "Shop"."Post" (id bigint, k text, PRIMARY KEY (id, k)) PARTITION BY LIST (k)',
        'CREATE TABLE "Shop".mine PARTITION OF "Shop"."Post" FOR VALUES IN (\'B\', \'A\')',
    )
    for values in (("A", "B"), ("A", "B", "C")):
        alembic_env.autogenerate("n", metadata=keyed(sa.Text, ByList("k", {"a": values})))
        alembic_env.upgrade()
    run(shop, 'INSERT INTO "Shop"."Post" VALUES (1, \'C\')')
    with shop.connect() as connection:
        assert children(connection, "Post") == ['"Shop".mine']


def test_a_border_moves_whatever_the_datestyle(
    alembic_env: MigrationEnvironment, shop: sa.Engine
) -> None:
    """
    Bounds that the session prints with the day in front are found all the same.
    """
    run(shop, f"ALTER DATABASE \"{shop.url.database}\" SET datestyle = 'SQL, DMY'")
    shop.dispose()
    for end in (date(2027, 1, 1), date(2028, 1, 1)):
        rules = ByRange("k", bounds=(date(2026, 1, 1), end))
        alembic_env.autogenerate("n", metadata=keyed(sa.Date, rules))
        alembic_env.upgrade()
    run(shop, 'INSERT INTO "Shop"."Post" VALUES (1, DATE \'2027-05-05\')')


def test_a_partition_without_our_mark_is_not_dropped(
    alembic_env: MigrationEnvironment, shop: sa.Engine
) -> None:
    """
    Its group is not declared any more and it is empty, but somebody made it by hand.
    """
    run(
        shop,
        'CREATE TABLE "Shop"."Post" (id bigint, k text, PRIMARY KEY (id, k)) PARTITION BY LIST (k)',
        'CREATE TABLE "Shop".mine PARTITION OF "Shop"."Post" FOR VALUES IN (\'B\')',
    )
    both, one = ByList("k", {"a": ("A",), "b": ("B",)}), ByList("k", {"a": ("A",)})
    for rules in (both, one):
        alembic_env.autogenerate("n", metadata=keyed(sa.Text, rules))
        alembic_env.upgrade()
    with shop.connect() as connection:
        assert children(connection, "Post") == ['"Shop"."Post_a"', '"Shop".mine']


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ByHash("id", modulus=2), ByHash("id", modulus=3)),
        (ByList("k", {"a": ("A",), "b": ("B",)}), ByList("k", {"a": ("A",)})),
    ],
    ids=["modulus", "group"],
)
def test_an_empty_partition_of_a_referred_table_goes(
    alembic_env: MigrationEnvironment, shop: sa.Engine, old: Rules, new: Rules
) -> None:
    """
    Foreign keys of others do not keep it: it is detached before it is dropped.
    """
    for rules in (old, new):
        alembic_env.autogenerate("n", metadata=keyed(sa.Text, rules, referred=True))
        alembic_env.upgrade()
    with shop.connect() as connection:
        assert len(children(connection, "Post")) == (3 if isinstance(new, ByHash) else 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "hidden"),
    [
        (ByHash("id", modulus=2), ByHash("id", modulus=3), "Post"),
        (ByList("k", {"a": ("A",), "b": ("B",)}), ByList("k", {"a": ("A",)}), "Post_b"),
    ],
    ids=["modulus", "group"],
)
def test_rows_that_row_security_hides_are_rows(
    tmp_path: Path,
    shop: sa.Engine,
    owner: tuple[str, str],
    owner_engine: sa.Engine,
    old: Rules,
    new: Rules,
    hidden: str,
) -> None:
    """
    The owner sees none of them, FORCE ROW LEVEL SECURITY being on; nothing is dropped.
    """
    for schema in ('"Shop"', "public"):
        run(shop, f"GRANT ALL ON SCHEMA {schema} TO {owner[0]}")
    alembic_env = MigrationEnvironment(tmp_path / "owned", owner_engine)
    alembic_env.configure(include_schemas=True)
    alembic_env.autogenerate("a", metadata=keyed(sa.Text, old))
    alembic_env.upgrade()
    alembic_env.autogenerate("b", metadata=keyed(sa.Text, new))
    run(
        owner_engine,
        'INSERT INTO "Shop"."Post" SELECT g, \'B\' FROM generate_series(1, 100) AS g',
        f'ALTER TABLE "Shop"."{hidden}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "Shop"."{hidden}" FORCE ROW LEVEL SECURITY',
    )
    with pytest.raises(sa.exc.DBAPIError, match="holds rows"):
        alembic_env.upgrade()
    with shop.connect() as connection:
        assert connection.scalar(sa.text('SELECT count(*) FROM "Shop"."Post"')) == 100
