"""
Live rows below dead parents, which the option `refuse_orphans` does not let in.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.tables import Schema, dead, execute, live

FLAG = Columns(flag="is_deleted")
Trees = tuple[sa.Connection, sa.Table, sa.Table, sa.Table]


@pytest.fixture
def trees(connection: sa.Connection) -> Trees:
    """
    Orchards, and trees in them that may be grafts of other trees; orchard 2 and tree 2 are dead.
    """
    schema = Schema()
    orchard = schema.table("orchard")
    tree = schema.table(
        "tree",
        sa.Column("orchard_id", sa.ForeignKey("orchard.id")),
        sa.Column("graft_of", sa.ForeignKey("tree.id")),
        sa.Column("height", sa.Integer),
        names=FLAG,
        refuse_orphans=True,
    )
    shed = schema.table("shed", sa.Column("orchard_id", sa.ForeignKey("orchard.id")))
    schema.edge(orchard, tree, id="orchard_id")
    schema.edge(tree, tree, id="graft_of")
    schema.edge(orchard, shed, id="orchard_id")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO orchard VALUES (1), (2)",
        "INSERT INTO tree VALUES (1, 1), (2, 2)",
        "UPDATE orchard SET deleted_at = now() WHERE id = 2",
    )
    return connection, orchard, tree, shed


def error_of(connection: sa.Connection, *statements: Any) -> psycopg.Error:
    """
    Run what must fail, in a savepoint.
    """
    with pytest.raises(sa.exc.IntegrityError) as caught, connection.begin_nested():
        execute(connection, *statements)
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig


def test_insert_is_refused(trees: Trees) -> None:
    """The error says which row is dead, and looks like that of a foreign key."""
    connection, *_ = trees
    error = error_of(connection, "INSERT INTO tree (id, orchard_id) VALUES (9, 2)")
    assert isinstance(error, psycopg.errors.ForeignKeyViolation)
    assert error.diag.message_primary == (
        "a live row of table public.tree cannot stand below row (2) of table public.orchard,"
        " which is deleted"
    )
    assert error.diag.message_hint == "Restore that row first, or refer to one that is not deleted."
    assert (error.diag.schema_name, error.diag.table_name) == ("public", "tree")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tree (id, orchard_id, graft_of) VALUES (9, 1, 2)",
        "INSERT INTO tree (id, orchard_id) SELECT 8 + g, g FROM generate_series(1, 2) AS g",
        "UPDATE tree SET orchard_id = 2 WHERE id = 1",
        "UPDATE tree SET graft_of = 2 WHERE id = 1",
        "INSERT INTO tree (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET orchard_id = 2",
        """MERGE INTO tree USING orchard AS o ON tree.id = o.id AND o.id = 1
        WHEN MATCHED THEN UPDATE SET orchard_id = 2
        WHEN NOT MATCHED THEN INSERT (id, orchard_id) VALUES (9, 2)""",
    ],
)
def test_all_ways_are_refused(trees: Trees, statement: str) -> None:
    """By any parent, for one row of many, by another parent later, by upsert and MERGE."""
    connection, _, tree, _ = trees
    error_of(connection, statement)
    assert live(connection, tree) == [1]


def test_copy_is_refused(trees: Trees) -> None:
    """By COPY too."""
    connection, *_ = trees
    with (
        pytest.raises(psycopg.errors.ForeignKeyViolation),
        connection.connection.cursor().copy("COPY tree (id, orchard_id) FROM STDIN") as copy,
    ):
        copy.write_row((9, 2))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tree (id, orchard_id) VALUES (9, 1)",
        "INSERT INTO tree (id) VALUES (9)",
        "INSERT INTO tree (id, orchard_id, deleted_at) VALUES (9, 2, now())",
        "INSERT INTO tree (id, orchard_id, is_deleted) VALUES (9, 2, true)",
        "INSERT INTO tree (id, orchard_id, graft_of) VALUES (9, 1, 10), (10, 1, NULL)",
        "UPDATE tree SET orchard_id = 2, is_deleted = true WHERE id = 1",
        "UPDATE tree SET orchard_id = 1 WHERE id = 2",
        "UPDATE tree SET height = 3",
        "UPDATE tree SET orchard_id = NULL",
    ],
)
def test_what_is_let_through(trees: Trees, statement: str) -> None:
    """Live parents, no parents, dead rows, and columns that have nothing to do with it."""
    connection, *_ = trees
    execute(connection, statement)


def test_missing_parent_is_left_to_the_foreign_key(trees: Trees) -> None:
    """A parent that does not exist is not ours to report."""
    connection, *_ = trees
    error = error_of(connection, "INSERT INTO tree (id, orchard_id) VALUES (9, 77)")
    assert error.diag.constraint_name == "tree_orchard_id_fkey"


def test_without_the_option(trees: Trees) -> None:
    """A table without the option takes such rows."""
    connection, _, _, shed = trees
    execute(connection, "INSERT INTO shed (id, orchard_id) VALUES (1, 2)")
    assert live(connection, shed) == [1]


def test_restore_is_checked_without_the_option(trees: Trees) -> None:
    """But it does not bring them back below a dead parent."""
    connection, *_ = trees
    execute(
        connection,
        "INSERT INTO shed (id, orchard_id) VALUES (1, 1)",
        "UPDATE shed SET deleted_at = now()",
        "UPDATE orchard SET deleted_at = now() WHERE id = 1",
    )
    error = error_of(connection, "UPDATE shed SET deleted_at = NULL")
    assert "row (1) of table public.shed cannot be restored" in str(error)


def test_restored_elsewhere(trees: Trees) -> None:
    """A row may be restored and moved below a live parent by one statement, not below a dead one."""
    connection, orchard, tree, _ = trees
    execute(connection, "UPDATE tree SET is_deleted = false, orchard_id = 1 WHERE id = 2")
    assert live(connection, tree) == [1, 2]
    execute(connection, "UPDATE tree SET is_deleted = true WHERE id = 2")
    error_of(connection, "UPDATE tree SET is_deleted = false, orchard_id = 2 WHERE id = 2")
    assert dead(connection, orchard) == [2]


def test_orphan_that_was_there_before(trees: Trees) -> None:
    """An orphan from before the option may be edited, deleted and moved, not moved to another dead parent."""
    connection, _, tree, _ = trees
    execute(
        connection,
        "SET LOCAL session_replication_role = 'replica'",
        "INSERT INTO tree (id, orchard_id) VALUES (9, 2)",
        "SET LOCAL session_replication_role = 'origin'",
        "UPDATE tree SET height = 1 WHERE id = 9",
        "UPDATE tree SET is_deleted = true WHERE id = 9",
    )
    assert dead(connection, tree) == [2, 9]


def test_shared_parent(connection: sa.Connection) -> None:
    """Where the cascade leads to the row a key names, one dead referrer of several is enough."""
    schema = Schema()
    address = schema.table(
        "address", sa.Column("code", sa.Integer, unique=True), refuse_orphans=True
    )
    person = schema.table("person", sa.Column("code", sa.ForeignKey("address.code")))
    schema.edge(person, address, code="code")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO address (id, code) VALUES (1, 1), (2, 2)",
        "INSERT INTO person (id, code) VALUES (1, 1), (2, 1)",
        "UPDATE person SET deleted_at = now() WHERE id = 1",
    )
    assert dead(connection, address) == [1]
    execute(connection, "UPDATE person SET deleted_at = NULL WHERE id = 1")
    error = error_of(
        connection,
        "UPDATE person SET deleted_at = now() WHERE id = 2",
        "UPDATE address SET deleted_at = NULL WHERE id = 1",
    )
    assert "row (1) of table public.address cannot be restored: row (2)" in str(error)
    execute(
        connection,
        "INSERT INTO person (id, code) VALUES (3, NULL)",
        "UPDATE person SET deleted_at = now() WHERE id = 3",
    )
    assert live(connection, address) == [1, 2]
