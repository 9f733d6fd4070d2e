from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa

from pgultra import Check, declare, plan
from pgultra.objects import Identity, Mark

OURS = Mark("default", "declared")


def test_statements() -> None:
    """
    Added NOT VALID, then validated, so that writes pass while the table is read.
    """
    check = Check(name="The c", table="T", schema="s", condition="a > 0", mark=OURS)
    assert check.create() == (
        'ALTER TABLE s."T" ADD CONSTRAINT "The c" CHECK (a > 0) NOT VALID',
        'ALTER TABLE s."T" VALIDATE CONSTRAINT "The c"',
        'COMMENT ON CONSTRAINT "The c" ON s."T" IS \'pgultra:default:declared\'',
    )
    assert check.drop() == ('ALTER TABLE s."T" DROP CONSTRAINT "The c"',)
    assert len(dataclasses.replace(check, validated=False).create()) == 2
    assert check.requires == (Identity("table", "s", "T"),)


def shop(condition: str, *, validated: bool = True) -> sa.MetaData:
    metadata = sa.MetaData()
    item = sa.Table("item", metadata, sa.Column("n", sa.Integer), sa.Column("t", sa.Text))
    declare(item, Check(name="c", table="item", condition=condition, validated=validated))
    return metadata


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE item DROP CONSTRAINT c",
        "ALTER TABLE item DROP CONSTRAINT c; ALTER TABLE item ADD CONSTRAINT c CHECK (n > 1)",
        "ALTER TABLE item DROP CONSTRAINT c; ALTER TABLE item ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
        "ALTER TABLE item RENAME CONSTRAINT c TO d",
    ],
)
def test_every_change_is_seen_and_repaired(engine: sa.Engine, change: str) -> None:
    """
    Dropped, other, not valid, renamed.
    """
    metadata = shop("n > 0")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
        if "ADD" in change:
            connection.exec_driver_sql(
                "COMMENT ON CONSTRAINT c ON item IS 'pgultra:default:declared'"
            )
        found = plan.check(connection, metadata)
        assert found
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)


def test_a_check_may_stay_not_valid(engine: sa.Engine) -> None:
    """
    For a table with old sins: new rows are checked; validating later is a change.
    """
    metadata = shop("n > 0", validated=False)
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert not plan.check(connection, metadata)
        assert len(plan.check(connection, shop("n > 0"))) > 0
        with pytest.raises(sa.exc.IntegrityError):
            connection.exec_driver_sql("INSERT INTO item VALUES (-1)")


def test_rows_that_break_it_stop_everything(engine: sa.Engine) -> None:
    """
    PostgreSQL names the constraint, and nothing is left of the attempt.
    """
    shop("n > 0").drop_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE item (n int, t text); INSERT INTO item VALUES (-1)"
        )
    with engine.connect() as connection:
        found = plan.check(connection, shop("n > 0"))
        with pytest.raises(sa.exc.IntegrityError, match='constraint "c"'):
            plan.apply(found, connection)
        connection.rollback()
        assert [step.verb for step in plan.check(connection, shop("n > 0"))] == ["create"]


def test_inherited_checks_are_their_parents(engine: sa.Engine) -> None:
    """
    A partition shows the check of its parent; only the parent's is ours.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE item (n int, t text) PARTITION BY RANGE (n)")
        connection.exec_driver_sql("CREATE TABLE part PARTITION OF item FOR VALUES FROM (0) TO (9)")
        metadata = shop("n > 0")
        plan.apply(plan.check(connection, metadata), connection)
        assert not plan.check(connection, metadata)
        part = sa.Table("part", metadata, sa.Column("n", sa.Integer))
        assert part.metadata is metadata
        assert not plan.check(connection, metadata)
