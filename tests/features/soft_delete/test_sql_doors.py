"""
The columns of one row, by every way that leads into a table.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pgultra import sql
from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.tables import Schema, execute

FLAG = Columns(flag="is_deleted")
NOON = "2020-01-01 12:00:00+00"


@pytest.fixture
def schema() -> Schema:
    """
    A table without a flag and one with, both with three live rows.
    """
    schema = Schema()
    schema.table("plain")
    schema.table("flagged", names=FLAG)
    return schema


@pytest.fixture
def tables(connection: sa.Connection, schema: Schema) -> sa.Connection:
    """
    The connection on which the tables exist.
    """
    schema.create(connection)
    execute(
        connection, *(f"INSERT INTO {name} VALUES (1), (2), (3)" for name in schema.metadata.tables)
    )
    return connection


def row(bind: sa.Connection, table: str = "plain", key: int = 1) -> Any:
    """
    Fetch one row.
    """
    return bind.execute(sa.text(f"SELECT * FROM {table} WHERE id = {key}")).one()


def test_logical_restore_changes_nothing(tables: sa.Connection) -> None:
    """Rows that come with all their columns stay as they are, by INSERT and by COPY."""
    given = uuid4()
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        f"INSERT INTO flagged VALUES (8, '{NOON}', 'bob', '{given}', true)",
    )
    with tables.connection.cursor().copy("COPY flagged FROM STDIN") as copy:
        copy.write_row((9, NOON, "bob", given, True))
        copy.write_row((10, NOON, None, None, False))
    for key in (8, 9):
        assert row(tables, "flagged", key)[2:] == ("bob", given, True)
        assert row(tables, "flagged", key).deleted_at.year == 2020
    assert row(tables, "flagged", 10).is_deleted is True
    assert row(tables, "flagged", 10).deletion_id is not None


def test_upsert_revives_and_deletes(tables: sa.Connection, schema: Schema) -> None:
    """INSERT ... ON CONFLICT DO UPDATE goes through the same rules."""
    table = schema.metadata.tables["flagged"]
    statement = insert(table).values(id=1)
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={"is_deleted": sa.not_(table.c.is_deleted)}
    )
    execute(tables, statement)
    assert row(tables, "flagged").deletion_id is not None
    execute(tables, statement)
    assert row(tables, "flagged") == (1, None, None, None, False)


def test_merge(tables: sa.Connection) -> None:
    """So does MERGE."""
    execute(
        tables,
        "MERGE INTO plain USING generate_series(2, 4) AS g ON plain.id = g"
        " WHEN MATCHED THEN UPDATE SET deleted_at = now()"
        " WHEN NOT MATCHED THEN INSERT (id, deleted_at) VALUES (g, now())",
    )
    assert row(tables, key=2).deletion_id == row(tables, key=3).deletion_id
    assert row(tables, key=4).deletion_id is not None


def test_replica_role_leaves_rows_alone(tables: sa.Connection) -> None:
    """What replication applies has been through the triggers where it came from."""
    execute(
        tables,
        "SET LOCAL session_replication_role = 'replica'",
        f"UPDATE plain SET deleted_at = '{NOON}'",
    )
    assert row(tables).deletion_id is None


def test_live_rows_cost_no_call(tables: sa.Connection) -> None:
    """Inserting live rows and updating other columns calls no function."""
    for statement in ("INSERT INTO flagged VALUES (7)", "UPDATE flagged SET id = 8 WHERE id = 7"):
        plan = tables.execute(sa.text(f"EXPLAIN ANALYZE {statement}")).scalars().all()
        assert not [line for line in plan if "Trigger" in line]
    plan = (
        tables.execute(sa.text("EXPLAIN ANALYZE UPDATE flagged SET is_deleted = true"))
        .scalars()
        .all()
    )
    assert len([line for line in plan if "Trigger" in line]) == 3


def test_unchanged_values_cost_no_call(tables: sa.Connection) -> None:
    """An ORM that writes all columns back does not pay for it row by row."""
    plan = (
        tables.execute(sa.text("EXPLAIN ANALYZE UPDATE flagged SET deleted_at = deleted_at"))
        .scalars()
        .all()
    )
    assert not [line for line in plan if "_stamp" in line]


def test_savepoint_rolls_back_cleanly(tables: sa.Connection) -> None:
    """An undone deletion leaves no id behind for the next."""
    with tables.begin_nested() as savepoint:
        execute(tables, "UPDATE plain SET deleted_at = now() WHERE id = 1")
        undone = row(tables).deletion_id
        savepoint.rollback()
    execute(tables, "UPDATE plain SET deleted_at = now() WHERE id = 2")
    assert row(tables).deletion_id is None
    assert row(tables, key=2).deletion_id not in (None, undone)


def test_settings_end_with_the_transaction(engine: sa.Engine, schema: Schema) -> None:
    """Nothing that the triggers remember outlives the transaction, in a pooled session."""
    schema.create(engine)
    execute(engine, "INSERT INTO plain VALUES (1)", "UPDATE plain SET deleted_at = now()")
    with engine.begin() as connection:
        left = connection.execute(
            sa.text(
                "SELECT name, setting FROM pg_settings WHERE name LIKE 'pgultra.%' AND setting <> ''"
            )
        ).all()
    assert left == []


def test_trigger_of_the_host_within_a_statement(tables: sa.Connection) -> None:
    """What a host's trigger deletes row by row, elsewhere, is another deletion."""
    execute(
        tables,
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE flagged SET is_deleted = true WHERE id = NEW.id; RETURN NEW; END $$",
        "CREATE TRIGGER a_follow BEFORE UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION follow()",
        "UPDATE plain SET deleted_at = now()",
    )
    mine = {row(tables, key=key).deletion_id for key in (1, 2, 3)}
    theirs = {row(tables, "flagged", key).deletion_id for key in (1, 2, 3)}
    assert len(mine) == 1
    assert len(theirs) == 3
    assert not mine & theirs


def test_partitions(connection: sa.Connection) -> None:
    """Rows of partitions are stamped, through the parent and directly, and when they move."""
    schema = Schema()
    table = schema.table("event", sa.Column("place", sa.Integer), names=FLAG)
    ddl = sa.schema.CreateTable(table).compile(dialect=sql.dialect()).string
    execute(
        connection,
        ddl.replace("PRIMARY KEY (id)", "PRIMARY KEY (id, place)") + " PARTITION BY LIST (place)",
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1)",
        "CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2)",
    )
    for each in schema.objects():
        for text in each.create():
            connection.execute(sql.statement(text))
    execute(
        connection,
        "INSERT INTO event (id, place) VALUES (1, 1), (2, 2), (3, 1)",
        "INSERT INTO event_1 (id, place, is_deleted) VALUES (4, 1, true)",
        "UPDATE event SET is_deleted = true WHERE id < 3",
        "UPDATE event_1 SET is_deleted = true WHERE id = 3",
        "UPDATE event SET place = 2 WHERE id = 1",
    )
    rows = connection.execute(sa.text("SELECT * FROM event ORDER BY id")).all()
    assert [each.is_deleted and each.deleted_at is not None for each in rows] == [True] * 4
    assert rows[0].deletion_id == rows[1].deletion_id
    assert [each.place for each in rows] == [2, 2, 1, 1]
