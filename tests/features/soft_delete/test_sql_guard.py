"""
DELETE and TRUNCATE, which are refused unless somebody means it.
"""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from pgultra import sql
from tests.features.soft_delete.tables import Schema, execute


def error_of(connection: sa.Connection, *statements: str) -> psycopg.Error:
    """
    Run what must fail, in a savepoint.
    """
    with pytest.raises(sa.exc.IntegrityError) as caught, connection.begin_nested():
        execute(connection, *statements)
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig


@pytest.fixture
def guarded(connection: sa.Connection) -> sa.Connection:
    """
    A guarded table with three rows, and one that is not.
    """
    schema = Schema()
    schema.table("guarded")
    schema.table("open", guard="allow")
    schema.create(connection)
    execute(
        connection, *(f"INSERT INTO {name} VALUES (1), (2), (3)" for name in ("guarded", "open"))
    )
    return connection


def count(connection: sa.Connection, table: str) -> int:
    """
    Count all rows.
    """
    return connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_delete_is_refused(guarded: sa.Connection) -> None:
    """The error names the table, says how many rows were meant and what to write instead."""
    error = error_of(guarded, "DELETE FROM guarded WHERE id < 3")
    assert isinstance(error, psycopg.errors.RestrictViolation)
    assert error.diag.message_primary == (
        "DELETE on table public.guarded is refused: its rows are deleted softly"
    )
    assert error.diag.message_detail == (
        "It reached 2 row(s), by itself or by ON DELETE CASCADE of a foreign key."
    )
    assert "SET deleted_at = now()" in str(error.diag.message_hint)
    assert "SET LOCAL pgultra.hard_delete = 'on'" in str(error.diag.message_hint)
    assert (error.diag.schema_name, error.diag.table_name) == ("public", "guarded")
    assert count(guarded, "guarded") == 3


def test_truncate_is_refused(guarded: sa.Connection) -> None:
    """So is TRUNCATE."""
    error = error_of(guarded, "TRUNCATE open, guarded")
    assert isinstance(error, psycopg.errors.RestrictViolation)
    assert "TRUNCATE on table public.guarded is refused" in str(error)
    assert (count(guarded, "guarded"), count(guarded, "open")) == (3, 3)


@pytest.mark.parametrize("statement", ["DELETE FROM guarded", "TRUNCATE guarded"])
def test_hard_delete_says_it(guarded: sa.Connection, statement: str) -> None:
    """A setting of the transaction lets it through."""
    execute(guarded, "SET LOCAL pgultra.hard_delete = 'on'", statement)
    assert count(guarded, "guarded") == 0


@pytest.mark.parametrize("value", ["off", "", "true"])
def test_only_on_lets_through(guarded: sa.Connection, value: str) -> None:
    """Nothing else than "on" does."""
    execute(guarded, f"SET LOCAL pgultra.hard_delete = '{value}'")
    error_of(guarded, "DELETE FROM guarded")


def test_nothing_reached_nothing_refused(guarded: sa.Connection) -> None:
    """A DELETE that meets no row has nothing to refuse."""
    execute(guarded, "DELETE FROM guarded WHERE id > 3")


@pytest.mark.parametrize("statement", ["DELETE FROM open", "TRUNCATE open"])
def test_allowed(guarded: sa.Connection, statement: str) -> None:
    """Without a guard everything goes."""
    execute(guarded, statement)
    assert count(guarded, "open") == 0


def test_merge_is_refused(guarded: sa.Connection) -> None:
    """MERGE deletes no row either."""
    error_of(
        guarded, "MERGE INTO guarded USING open ON guarded.id = open.id WHEN MATCHED THEN DELETE"
    )


def test_cascade_of_a_foreign_key(connection: sa.Connection) -> None:
    """A row above that is not soft-deletable can go unless rows here would go with it."""
    schema = Schema()
    sa.Table("tenant", schema.metadata, sa.Column("id", sa.Integer, primary_key=True))
    schema.table("article", sa.Column("tenant_id", sa.ForeignKey("tenant.id", ondelete="CASCADE")))
    schema.create(connection)
    execute(connection, "INSERT INTO tenant VALUES (1), (2)", "INSERT INTO article VALUES (1, 1)")
    execute(connection, "DELETE FROM tenant WHERE id = 2")
    error = error_of(connection, "DELETE FROM tenant WHERE id = 1")
    assert "DELETE on table public.article is refused" in str(error)
    assert (count(connection, "tenant"), count(connection, "article")) == (1, 1)
    execute(connection, "SET LOCAL pgultra.hard_delete = 'on'", "DELETE FROM tenant")
    assert count(connection, "article") == 0


def test_partitioned_table(connection: sa.Connection) -> None:
    """The parent of partitions is guarded; a row that moves between them is not deleted."""
    schema = Schema()
    table = schema.table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
    )
    ddl = sa.schema.CreateTable(table).compile(dialect=sql.dialect()).string
    execute(
        connection,
        ddl + " PARTITION BY LIST (place)",
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1)",
        "CREATE TABLE event_2 PARTITION OF event FOR VALUES IN (2)",
    )
    for each in schema.objects():
        execute(connection, *each.create())
    execute(
        connection,
        "INSERT INTO event VALUES (1, 1), (2, 2)",
        "UPDATE event SET place = 2 WHERE id = 1",
    )
    assert connection.execute(sa.text("SELECT count(*) FROM event_2")).scalar_one() == 2
    error_of(connection, "DELETE FROM event")
    error_of(connection, "TRUNCATE event")
