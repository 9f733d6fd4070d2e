"""
Random applications and random edits, through Alembic and back.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

import pgultra.integrations.alembic
from pgultra import plan, sql
from tests.fuzz.snapshot import snapshot
from tests.fuzz.worlds import World, build, edited, names, worlds

if TYPE_CHECKING:
    from sqlalchemy import Connection

assert pgultra.integrations.alembic
pytestmark = [pytest.mark.slow, pytest.mark.once]
EXAMPLES = int(os.environ.get("PGULTRA_FUZZ_EXAMPLES", "500"))
SEED = int(os.environ.get("PGULTRA_FUZZ_SEED", "0"))
"""For a longer night, with other examples than those that everybody runs:
``PGULTRA_FUZZ_EXAMPLES=20000 PGULTRA_FUZZ_SEED=$RANDOM pytest -n 4 tests/fuzz``."""
PARTS = 5
"""Tests that share the examples, so that workers can."""


def script(connection: Connection, metadata: sa.MetaData) -> tuple[str, str]:
    """
    What autogenerate writes: upgrade and downgrade as Python text.
    """
    context = MigrationContext.configure(connection)
    made = produce_migrations(context, metadata)
    assert made.upgrade_ops is not None
    assert made.downgrade_ops is not None
    up, down = (
        render_python_code(each, migration_context=context)
        for each in (made.upgrade_ops, made.downgrade_ops)
    )
    return up, down


def run(connection: Connection, text: str) -> None:
    """
    Run a script's text as Alembic would.
    """
    note(text)
    place: dict[str, Any] = {"sa": sa, "op": Operations(MigrationContext.configure(connection))}
    exec(f"from sqlalchemy.dialects import postgresql\nif True:\n    {text}", place)


def assert_empty(connection: Connection, world: World) -> None:
    """
    No operation for Alembic, no step for the check, no conflict.
    """
    context = MigrationContext.configure(connection)
    upgrade = produce_migrations(context, build(world)).upgrade_ops
    assert upgrade is not None
    assert [repr(each.to_diff_tuple()) for each in upgrade.ops] == []
    found = plan.check(connection, build(world))
    assert [*map(str, found), *found.conflicts] == []


def fill(connection: Connection, world: World) -> None:
    """
    A few rows in every table.
    """
    key = sql.identifier(world.names.key)
    for table in world.tables:
        text = f"INSERT INTO {sql.identifier(table)} ({key}) SELECT generate_series(1, 3)"
        connection.exec_driver_sql(text.replace("%", "%%"))


def rows(connection: Connection, world: World) -> dict[str, int]:
    """
    How many rows there are.
    """
    return {
        table: connection.exec_driver_sql(
            f"SELECT count(*) FROM {sql.identifier(table)}".replace("%", "%%")
        ).scalar_one()
        for table in world.tables
    }


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_there_and_back(shared_engine: sa.Engine, part: int) -> None:
    """
    Autogenerate, upgrade, empty; edit, upgrade, empty; downgrade, as before; twice.
    """

    @seed(SEED * PARTS + part)
    @settings(
        max_examples=max(1, EXAMPLES // PARTS),
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        called = data.draw(names(), "names")
        first = data.draw(worlds(called), "first")
        second = data.draw(edited(first), "second")
        with shared_engine.connect() as connection:
            begun = connection.begin()
            nothing = snapshot(connection)
            up, down = script(connection, build(first))
            run(connection, up)
            assert_empty(connection, first)
            fill(connection, first)
            before, kept = snapshot(connection), rows(connection, first)
            further, back = script(connection, build(second))
            run(connection, further)
            assert_empty(connection, second)
            run(connection, back)
            assert snapshot(connection) == before
            assert_empty(connection, first)
            stays = first.tables.keys() & second.tables.keys()
            assert {name: rows(connection, first)[name] for name in stays} == {
                name: kept[name] for name in stays
            }
            run(connection, down)
            assert snapshot(connection) == nothing
            begun.rollback()

    check()
