"""
The columns of one row, whoever writes them and however.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

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


def test_update_fills_in_the_rest(tables: sa.Connection) -> None:
    """A written timestamp brings an id, and the actor from the setting."""
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        "UPDATE plain SET deleted_at = now() WHERE id = 1",
    )
    deleted = row(tables)
    assert deleted.deleted_by == "ann"
    assert isinstance(deleted.deletion_id, UUID)
    assert row(tables, key=2) == (2, None, None, None)


def test_no_actor_is_null(tables: sa.Connection) -> None:
    """Without an actor, or with an empty one, nobody is named."""
    execute(
        tables, "SET LOCAL pgultra.actor = ''", "UPDATE plain SET deleted_at = now() WHERE id = 1"
    )
    assert row(tables).deleted_by is None


def test_given_values_stay(tables: sa.Connection) -> None:
    """A given time, name and id are kept, also those of the past."""
    given = uuid4()
    execute(
        tables,
        "SET LOCAL pgultra.actor = 'ann'",
        f"UPDATE plain SET deleted_at = '{NOON}', deleted_by = 'bob', deletion_id = '{given}' WHERE id = 1",
    )
    deleted = row(tables)
    assert (deleted.deleted_at.year, deleted.deleted_by, deleted.deletion_id) == (
        2020,
        "bob",
        given,
    )


def test_deletion_id_from_setting(tables: sa.Connection) -> None:
    """The setting joins several statements, and tables, into one deletion."""
    given = uuid4()
    execute(
        tables,
        f"SET LOCAL pgultra.deletion_id = '{given}'",
        "UPDATE plain SET deleted_at = now() WHERE id = 1",
        "UPDATE flagged SET is_deleted = true WHERE id = 1",
        "INSERT INTO plain VALUES (4, now())",
    )
    assert {
        row(tables).deletion_id,
        row(tables, "flagged").deletion_id,
        row(tables, key=4).deletion_id,
    } == {given}


def test_one_statement_is_one_deletion(tables: sa.Connection) -> None:
    """All rows of a statement share an id; the next statement has another, also within a function."""
    execute(
        tables,
        "DO $$ BEGIN UPDATE plain SET deleted_at = now() WHERE id < 3;"
        " UPDATE plain SET deleted_at = now() WHERE id = 3;"
        " UPDATE flagged SET is_deleted = true; END $$",
    )
    first, second, third = (row(tables, key=key).deletion_id for key in (1, 2, 3))
    assert first == second != third
    assert len({row(tables, "flagged", key).deletion_id for key in (1, 2, 3)} | {first, third}) == 3


def test_returning_shows_the_final_values(tables: sa.Connection) -> None:
    """RETURNING gives what is stored."""
    returned = tables.execute(
        sa.text("UPDATE flagged SET is_deleted = true WHERE id = 1 RETURNING *")
    ).one()
    assert returned == row(tables, "flagged")
    assert returned.deleted_at is not None
    assert returned.deletion_id is not None


def test_restore_clears(tables: sa.Connection) -> None:
    """A restored row names neither who deleted it nor in which deletion."""
    execute(
        tables,
        "UPDATE plain SET deleted_at = now(), deleted_by = 'ann'",
        "UPDATE plain SET deleted_at = NULL WHERE id = 1",
    )
    assert row(tables) == (1, None, None, None)


def test_dead_row_may_be_edited(tables: sa.Connection) -> None:
    """A new time or name for a dead row does not make it another deletion."""
    execute(tables, "UPDATE plain SET deleted_at = now()")
    before = row(tables).deletion_id
    execute(tables, f"UPDATE plain SET deleted_at = '{NOON}', deleted_by = 'bob'")
    after = row(tables)
    assert (after.deleted_at.year, after.deleted_by, after.deletion_id) == (2020, "bob", before)


def test_live_row_keeps_nothing(tables: sa.Connection) -> None:
    """A live row cannot be given an id or a name."""
    execute(
        tables,
        f"UPDATE plain SET deleted_by = 'ann', deletion_id = '{uuid4()}' WHERE id = 1",
        f"INSERT INTO plain VALUES (4, NULL, 'ann', '{uuid4()}')",
    )
    assert row(tables) == (1, None, None, None)
    assert row(tables, key=4) == (4, None, None, None)


@pytest.mark.parametrize(
    ("start", "change", "dead", "year"),
    [
        ("", "is_deleted = true", True, None),
        ("", "is_deleted = false", False, None),
        ("", "is_deleted = NULL", False, None),
        ("", f"deleted_at = '{NOON}'", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = true", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = false", True, 2020),
        ("", f"deleted_at = '{NOON}', is_deleted = NULL", True, 2020),
        ("", "deleted_at = NULL, is_deleted = true", True, None),
        ("dead", "is_deleted = false", False, None),
        ("dead", "is_deleted = true", True, 2020),
        ("dead", "is_deleted = NULL", True, 2020),
        ("dead", "deleted_at = NULL", False, None),
        ("dead", "deleted_at = NULL, is_deleted = true", False, None),
        ("dead", "deleted_at = NULL, is_deleted = false", False, None),
        ("dead", "deleted_at = '2021-01-01', is_deleted = false", True, 2021),
        ("dead", f"deleted_at = '{NOON}', is_deleted = false", False, None),
    ],
)
def test_flag_and_time_on_update(
    tables: sa.Connection, start: str, change: str, dead: bool, year: int | None
) -> None:
    """Whichever of the two is written brings the other along; in conflict the time wins."""
    if start:
        execute(tables, f"UPDATE flagged SET deleted_at = '{NOON}' WHERE id = 1")
    execute(tables, f"UPDATE flagged SET {change} WHERE id = 1")
    after = row(tables, "flagged")
    assert (after.is_deleted, after.deleted_at is not None) == (dead, dead)
    assert (after.deletion_id is not None) == dead
    if year:
        assert after.deleted_at.year == year


@pytest.mark.parametrize(
    ("values", "dead", "year"),
    [
        ("NULL, false", False, None),
        ("NULL, true", True, None),
        ("NULL, NULL", False, None),
        ("NULL, DEFAULT", False, None),
        (f"'{NOON}', false", True, 2020),
        (f"'{NOON}', true", True, 2020),
        (f"'{NOON}', NULL", True, 2020),
        (f"'{NOON}', DEFAULT", True, 2020),
    ],
)
def test_flag_and_time_on_insert(
    tables: sa.Connection, values: str, dead: bool, year: int | None
) -> None:
    """The same for a row that is inserted."""
    execute(tables, f"INSERT INTO flagged (id, deleted_at, is_deleted) VALUES (9, {values})")
    after = row(tables, "flagged", 9)
    assert (after.is_deleted, after.deleted_at is not None) == (dead, dead)
    assert (after.deletion_id is not None) == dead
    if year:
        assert after.deleted_at.year == year


def test_dead_rows_inserted_are_deletions_of_their_own(tables: sa.Connection) -> None:
    """Each row that is inserted dead can be restored by itself."""
    execute(tables, "INSERT INTO plain (id, deleted_at) VALUES (8, now()), (9, now())")
    assert row(tables, key=8).deletion_id != row(tables, key=9).deletion_id
