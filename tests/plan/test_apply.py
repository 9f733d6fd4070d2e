from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import (
    Check,
    ConflictingObjects,
    Function,
    Index,
    Schema,
    Trigger,
    View,
    declare,
    plan,
)
from pgultra.objects import Mark
from pgultra.plan import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

OURS = Mark("default", "declared")


def shop(*, concurrently: bool = False) -> sa.MetaData:
    metadata = sa.MetaData()
    item = sa.Table(
        "item", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer)
    )
    index = sa.Index("ix", item.c.n, unique=True)
    declare(
        item,
        Function(name="f", body="begin return new; end"),
        Trigger(name="t", table="item", timing="BEFORE", events=("INSERT",), function="f"),
        Check(name="c", table="item", condition="n > 0"),
        Index.of(index, concurrently=concurrently),
        View(name="v", query="SELECT id FROM item"),
    )
    return metadata


@pytest.fixture
def drifted(engine: sa.Engine) -> sa.Engine:
    """
    A database in which something of everything is missing or other.
    """
    shop().create_all(engine)
    with engine.begin() as connection:
        for statement in (
            "DROP TRIGGER t ON item",
            "DROP INDEX ix",
            "ALTER TABLE item DROP CONSTRAINT c",
            "CREATE OR REPLACE VIEW v AS SELECT id FROM item WHERE id > 0",
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'begin end'",
            "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "COMMENT ON FUNCTION extra() IS 'pgultra:default:declared'",
        ):
            connection.exec_driver_sql(statement)
    return engine


def test_applying_what_a_check_found_leaves_nothing(drifted: sa.Engine) -> None:
    """
    The plan is the repair, within the caller's transaction.
    """
    with drifted.begin() as connection:
        found = plan.check(connection, shop())
        assert len(found) == 6
        plan.apply(found, connection)
        assert not plan.check(connection, shop())
    with drifted.connect() as connection:
        assert not plan.check(connection, shop())


def test_a_transaction_that_is_rolled_back_takes_it_back(
    drifted: sa.Engine, database: Database, dump: Callable[..., str]
) -> None:
    """
    All of it or nothing.
    """
    before = dump(database)
    with drifted.connect() as connection:
        plan.apply(plan.check(connection, shop()), connection)
        connection.rollback()
    assert dump(database) == before


def test_the_reverse_takes_it_back(
    drifted: sa.Engine, database: Database, dump: Callable[..., str]
) -> None:
    """
    A plan and its reverse leave the database as it was.
    """
    before = dump(database)
    with drifted.begin() as connection:
        found = plan.check(connection, shop())
        plan.apply(found, connection)
    assert dump(database) != before
    with drifted.begin() as connection:
        plan.apply(found.reverse(), connection)
        assert plan.check(connection, shop()).steps == found.steps
    assert dump(database) == before


def test_a_plan_with_conflicts_does_nothing(engine: sa.Engine) -> None:
    """
    Not even what could be done.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW v AS SELECT 1 AS theirs")
        found = plan.check(connection, shop())
        assert len(found) > 3
        with pytest.raises(ConflictingObjects):
            plan.apply(found, connection)
        assert plan.check(connection, shop()).steps == found.steps


@pytest.mark.parametrize("where", ["engine", "options", "driver"])
def test_concurrently_outside_a_transaction_only(
    where: str, engine: sa.Engine, database: Database
) -> None:
    """
    In AUTOCOMMIT an index is built CONCURRENTLY if it was declared so; else plainly.
    """
    shop(concurrently=True).create_all(engine)
    made = {
        "engine": {"isolation_level": "AUTOCOMMIT"},
        "options": {"execution_options": {"isolation_level": "AUTOCOMMIT"}},
        "driver": {"connect_args": {"autocommit": True}},
    }
    statements: list[str] = []
    for options in (made[where], {}):
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP INDEX IF EXISTS ix")
        other = database.engine(**options)
        sa.event.listen(other, "before_cursor_execute", lambda *a: statements.append(a[2]))
        with other.connect() as connection:
            plan.apply(plan.check(connection, shop(concurrently=True)), connection)
            connection.commit()
        with engine.connect() as connection:
            assert not plan.check(connection, shop(concurrently=True))
    builds = [text for text in statements if "INDEX" in text and text.startswith("CREATE")]
    assert ["CONCURRENTLY" in text for text in builds] == [True, False]


def test_a_build_that_broke_off_goes_on(engine: sa.Engine, database: Database) -> None:
    """
    In AUTOCOMMIT what was done stays; the next check finds the rest, the INVALID index too.
    """
    shop().create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix; DROP VIEW v")
        connection.exec_driver_sql("INSERT INTO item VALUES (1, 1), (2, 1)")
    other = database.engine(isolation_level="AUTOCOMMIT")
    metadata = shop(concurrently=True)
    with other.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError):
            plan.apply(plan.check(connection, metadata), connection)
        invalid = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass")
        assert connection.scalar(invalid)
        connection.exec_driver_sql("DELETE FROM item WHERE id = 2")
        plan.apply(plan.check(connection, metadata), connection)
        assert not connection.scalar(invalid)
        assert not plan.check(connection, metadata)


def test_what_is_still_used_can_be_kept(engine: sa.Engine) -> None:
    """
    keep_used leaves functions and schemas that others stand on; without it PostgreSQL refuses.
    """
    metadata = shop()
    declare(metadata, Schema(name="tools"))
    metadata.create_all(engine)
    function, schema = Function(name="f", body="x", mark=OURS), Schema(name="tools", mark=OURS)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE tools.theirs ()")
        drops = Plan((Step(function, None), Step(schema, None)))
        plan.apply(drops, connection, keep_used=True)
        assert not plan.check(connection, metadata)
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="depend"):
        plan.apply(drops, connection)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE tools.theirs; DROP TRIGGER t ON item")
        plan.apply(drops, connection, keep_used=True)
        verbs: list[Any] = [str(step) for step in plan.check(connection, metadata)]
        assert "create function f()" in verbs
        assert "create schema tools" in verbs


def test_a_plan_can_be_sorted() -> None:
    """
    Replacements that cannot be in place come out as two steps.
    """
    old = Function(name="f", body="x", returns="int", mark=OURS)
    new = Function(name="f", body="x", returns="bigint", mark=OURS)
    view = View(name="v", query="SELECT f()", mark=OURS)
    steps = plan.sorted_plan(Plan((Step(old, new), Step(view, view, apart=True)))).steps
    assert [str(step) for step in steps] == [
        "drop view v",
        "drop function f()",
        "create function f()",
        "create view v",
    ]
