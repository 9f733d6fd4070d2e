"""
A trigger of a partitioned table fires on all its partitions, or is seen to differ.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pgultra import Function, Trigger, declare, plan
from pgultra.objects import Schema

BODY = """begin
    insert into log values (tg_level || ' ' || tg_table_name);
    return null;
end"""


def events(level: str = "ROW", **options: Any) -> sa.MetaData:
    """
    A partitioned table in a schema, with a trigger that writes where and how it fired.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "Event",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        schema="Log",
        postgresql_partition_by="RANGE (id)",
    )
    sa.Table("log", metadata, sa.Column("entry", sa.Text))
    declare(metadata, Schema(name="Log"))
    declare(
        table,
        Function(name="f", schema="Log", body=BODY),
        Trigger(
            name="On",
            table="Event",
            schema="Log",
            timing="AFTER",
            events=("UPDATE",),
            level=level,
            function="f",
            **options,
        ),
    )
    return metadata


@pytest.fixture(params=["ROW", "STATEMENT"])
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def partitioned(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """
    The table with a partition, one that is divided in turn, and a row in each leaf.
    """
    metadata.create_all(connection)
    for text in (
        'CREATE TABLE "Log"."P1" PARTITION OF "Log"."Event" FOR VALUES FROM (0) TO (10)',
        """CREATE TABLE "Log".p2 PARTITION OF "Log"."Event" FOR VALUES FROM (10) TO (30)
            PARTITION BY RANGE (id)""",
        'CREATE TABLE "Log".p2_1 PARTITION OF "Log".p2 FOR VALUES FROM (10) TO (20)',
        'INSERT INTO "Log"."Event" VALUES (1), (11)',
    ):
        connection.exec_driver_sql(text)
    plan.apply(plan.check(connection, metadata), connection)
    assert not plan.check(connection, metadata)


def fired(connection: sa.Connection, table: str) -> list[str]:
    connection.exec_driver_sql("DELETE FROM log")
    connection.exec_driver_sql(f'UPDATE "Log".{table} SET id = id')
    return list(connection.exec_driver_sql("SELECT entry FROM log ORDER BY 1").scalars())


@pytest.mark.parametrize("partition", ['"P1"', "p2", "p2_1"])
@pytest.mark.parametrize("mode", ["DISABLE", "ENABLE ALWAYS"])
def test_another_mode_on_a_partition_is_seen(
    engine: sa.Engine, level: str, partition: str, mode: str
) -> None:
    """
    And mended.
    """
    metadata = events(level)
    with engine.begin() as connection:
        partitioned(connection, metadata)
        connection.exec_driver_sql(f'ALTER TABLE "Log".{partition} {mode} TRIGGER "On"')
        found = plan.check(connection, metadata)
        assert list(map(str, found)) == ["replace trigger On on Log.Event"]
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)
        name = partition.strip('"')
        where = "p2_1" if (level, name) == ("ROW", "p2") else name
        assert fired(connection, partition) == [f"{level} {where}"]


def test_a_partition_without_the_trigger_is_seen(engine: sa.Engine) -> None:
    """
    Dropped there, or never made: PostgreSQL hands on no trigger of statements.
    """
    metadata = events("STATEMENT")
    with engine.begin() as connection:
        partitioned(connection, metadata)
        connection.exec_driver_sql('DROP TRIGGER "On" ON "Log".p2_1')
        connection.exec_driver_sql(
            'CREATE TABLE "Log".p3 PARTITION OF "Log"."Event" FOR VALUES FROM (30) TO (40)'
        )
        (step,) = found = plan.check(connection, metadata)
        assert isinstance(step.before, Trigger)
        assert step.before.unlike == 2
        plan.apply(found, connection)
        assert not plan.check(connection, metadata)
        assert fired(connection, "p2_1") == ["STATEMENT p2_1"]
        assert fired(connection, "p3") == ["STATEMENT p3"]


def test_a_detached_partition_does_not_count(engine: sa.Engine, level: str) -> None:
    """
    What is done with it is nobody's business.
    """
    metadata = events(level)
    with engine.begin() as connection:
        partitioned(connection, metadata)
        connection.exec_driver_sql('ALTER TABLE "Log"."Event" DETACH PARTITION "Log"."P1"')
        if level == "STATEMENT":
            connection.exec_driver_sql('DROP TRIGGER "On" ON "Log"."P1"')
        assert not plan.check(connection, metadata)


def test_a_mode_of_the_whole_table_is_on_all_partitions(engine: sa.Engine, level: str) -> None:
    """
    Declared disabled, and declared enabled again.
    """
    metadata = events(level)
    with engine.begin() as connection:
        partitioned(connection, metadata)
        for enabled, expected in (("D", []), ("O", [f"{level} p2_1"])):
            declared = events(level, enabled=enabled)
            plan.apply(plan.check(connection, declared), connection)
            assert not plan.check(connection, declared)
            assert fired(connection, "p2_1") == expected


@pytest.mark.parametrize(("old", "new"), [("ROW", "STATEMENT"), ("STATEMENT", "ROW")])
def test_the_level_changes_on_partitions_too(engine: sa.Engine, old: str, new: str) -> None:
    """
    A trigger of rows has children that cannot be replaced: it is made anew, there and back.
    """
    first, second = events(old), events(new)
    with engine.begin() as connection:
        partitioned(connection, first)
        found = plan.check(connection, second)
        plan.apply(found, connection)
        assert not plan.check(connection, second)
        assert set(fired(connection, "p2_1")) == {f"{new} p2_1"}
        plan.apply(found.reverse(), connection)
        assert not plan.check(connection, first)


def test_the_lock_of_a_partition_does_not_hold_up_a_check(engine: sa.Engine) -> None:
    """
    The partitions are counted from the catalog.
    """
    metadata = events("STATEMENT")
    with engine.begin() as connection:
        partitioned(connection, metadata)
    with engine.begin() as other, engine.connect() as connection:
        other.exec_driver_sql('LOCK TABLE "Log"."P1" IN ACCESS EXCLUSIVE MODE')
        connection.exec_driver_sql("SET lock_timeout = '1s'")
        assert not plan.check(connection, metadata)
