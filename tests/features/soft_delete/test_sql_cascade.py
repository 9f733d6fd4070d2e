"""
What goes with a row, and comes back with it, in plain SQL.
"""

from __future__ import annotations

from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.features.soft_delete.blog import Blog, plant
from tests.features.soft_delete.tables import (
    dead,
    delete,
    deletions,
    execute,
    refused,
    restore,
)


@pytest.fixture
def blog(connection: sa.Connection) -> Blog:
    """
    The tables with their rows, in a transaction that is rolled back.
    """
    return plant(connection)


def test_all_levels_go_as_one_deletion(blog: Blog) -> None:
    """Three tables and five levels of a self-reference go with one row, by one hand, at one time."""
    connection, author, article, comment = blog
    execute(connection, "SET LOCAL pgultra.actor = 'ann'")
    delete(connection, author, 1)
    assert dead(connection, author) == [1]
    assert dead(connection, article) == [1, 2]
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 8]
    assert len(deletions(connection, author, article, comment) - {None}) == 1
    told = connection.execute(
        sa.text('SELECT DISTINCT "gelöscht von", "ist gelöscht" FROM article WHERE id < 3')
    )
    assert told.all() == [("ann", True)]


def test_restore_brings_back_all(blog: Blog) -> None:
    """Restoring the row brings back what went with it, and clears its columns."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    restore(connection, author, 1)
    assert dead(connection, author) == dead(connection, article) == dead(connection, comment) == []
    assert deletions(connection, author, article, comment) == {None}
    flags = (
        connection.execute(sa.text('SELECT DISTINCT "ist gelöscht" FROM article')).scalars().all()
    )
    assert flags == [False]


def test_what_died_before_stays_dead(blog: Blog) -> None:
    """Restoring a row does not revive what was deleted before it."""
    connection, author, article, comment = blog
    delete(connection, comment, 3)
    delete(connection, author, 1)
    restore(connection, author, 1)
    assert dead(connection, comment) == [3, 4, 5]
    restore(connection, comment, 3)
    assert dead(connection, comment) == []
    assert dead(connection, article) == []


def test_flag_cascades(blog: Blog) -> None:
    """Writing the flag alone deletes and restores along the cascade."""
    connection, _, article, comment = blog
    execute(connection, 'UPDATE article SET "ist gelöscht" = true WHERE id = 1')
    assert dead(connection, comment) == [1, 2, 3, 4, 5]
    execute(connection, 'UPDATE article SET "ist gelöscht" = false WHERE id = 1')
    assert dead(connection, article) == dead(connection, comment) == []


def test_bulk_statement_restored_in_part(blog: Blog) -> None:
    """Rows deleted by one statement come back one by one, each with what hangs below it."""
    connection, _, article, comment = blog
    delete(connection, article, 1, 3)
    assert len(deletions(connection, article, comment) - {None}) == 1
    restore(connection, article, 3)
    assert dead(connection, article) == [1]
    assert dead(connection, comment) == [1, 2, 3, 4, 5]


def test_siblings_of_one_table_restored_in_part(blog: Blog) -> None:
    """In a self-referring table too: the other rows of that statement stay dead."""
    connection, _, _, comment = blog
    delete(connection, comment, 4, 6)
    assert dead(connection, comment) == [4, 5, 6, 8]
    restore(connection, comment, 6)
    assert dead(connection, comment) == [4, 5]
    restore(connection, comment, 4)
    assert dead(connection, comment) == []


def test_shared_deletion_id(blog: Blog) -> None:
    """Deletions joined by the setting come back each by its own root."""
    connection, author, article, comment = blog
    execute(connection, f"SET LOCAL pgultra.deletion_id = '{uuid4()}'")
    delete(connection, article, 3)
    delete(connection, comment, 5)
    delete(connection, author, 2)
    assert len(deletions(connection, author, article, comment) - {None}) == 1
    restore(connection, author, 2)
    assert dead(connection, author) == dead(connection, article) == []
    assert dead(connection, comment) == [5]


def test_restore_below_a_dead_parent_is_refused(blog: Blog) -> None:
    """A row does not come back alone below a parent that went with the same deletion."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    message = refused(connection, lambda: restore(connection, article, 1))
    assert "row (1) of table public.article cannot be restored" in message
    assert "row (1) of table public.author above it is deleted" in message
    assert "same deletion" in message
    assert "Restore that row of public.author first" in message
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 8]


def test_restore_below_another_deletion_is_refused(blog: Blog) -> None:
    """Nor below one that was deleted apart."""
    connection, author, article, _ = blog
    delete(connection, article, 1)
    delete(connection, author, 1)
    message = refused(connection, lambda: restore(connection, article, 1))
    assert "deleted apart" in message


def test_restore_meets_a_parent_dead_since(blog: Blog) -> None:
    """A row below that has lost another parent meanwhile stops the restore, and nothing changes."""
    connection, _, article, comment = blog
    delete(connection, article, 3)
    delete(connection, comment, 6)
    message = refused(connection, lambda: restore(connection, article, 3))
    assert "row (8) of table public.comment cannot be restored" in message
    assert "row (6) of table public.comment above it" in message
    assert dead(connection, article) == [3]
    restore(connection, comment, 6)
    restore(connection, article, 3)
    assert dead(connection, comment) == []


def test_parent_and_child_in_one_statement(blog: Blog) -> None:
    """One statement may restore a whole tree at once."""
    connection, _, _, comment = blog
    delete(connection, comment, 5)
    delete(connection, comment, 3)
    restore(connection, comment, 5, 4, 3)
    assert dead(connection, comment) == []


def test_delete_and_restore_in_one_statement(blog: Blog) -> None:
    """One statement may do both."""
    connection, _, article, comment = blog
    delete(connection, article, 1)
    execute(connection, 'UPDATE article SET "ist gelöscht" = NOT "ist gelöscht" WHERE id IN (1, 3)')
    assert dead(connection, article) == [3]
    assert dead(connection, comment) == [7, 8]


def test_swap_below_itself(blog: Blog) -> None:
    """A row cannot be restored by the statement that deletes its parent."""
    connection, _, _, comment = blog
    delete(connection, comment, 3)
    swap = "UPDATE comment SET deleted_at = CASE WHEN id = 3 THEN NULL ELSE now() END WHERE id IN (2, 3)"
    refused(connection, lambda: execute(connection, swap))
    assert dead(connection, comment) == [3, 4, 5]


def test_two_deletions_in_one_statement(blog: Blog) -> None:
    """Ids given row by row stay apart along the cascade."""
    connection, _, article, comment = blog
    first, second = uuid4(), uuid4()
    execute(
        connection,
        f"""UPDATE article SET "gelöschtAm" = now(), "Löschung" = CASE id WHEN 1 THEN '{first}'::uuid
        ELSE '{second}' END WHERE id IN (1, 3)""",
    )
    ids = dict(connection.execute(sa.select(comment.c.id, comment.c.deletion_id)).all())
    assert (ids[5], ids[7], ids[6]) == (first, second, None)
    restore(connection, article, 1, 3)
    assert dead(connection, comment) == []


def test_live_index_conflict_stops_a_restore(blog: Blog) -> None:
    """A unique value taken meanwhile refuses the restore as a whole."""
    connection, author, article, _ = blog
    execute(
        connection,
        "ALTER TABLE comment ADD slug text",
        "CREATE UNIQUE INDEX comment_slug ON comment (slug) WHERE deleted_at IS NULL",
        "UPDATE comment SET slug = 'a' WHERE id = 5",
    )
    delete(connection, author, 1)
    execute(connection, "UPDATE comment SET slug = 'a' WHERE id = 7")
    assert "comment_slug" in refused(connection, lambda: restore(connection, author, 1))
    assert dead(connection, article) == [1, 2]


def test_cascade_ends_where_it_began(blog: Blog) -> None:
    """The settings of a cascade are gone after it, and a later statement of the transaction is on its own."""
    connection, author, article, comment = blog
    delete(connection, author, 1)
    left = (
        connection.execute(
            sa.text("SELECT name FROM pg_settings WHERE name LIKE 'pgultra.%' AND setting <> ''")
        )
        .scalars()
        .all()
    )
    assert left == []
    delete(connection, article, 3)
    assert len(deletions(connection, article) - {None}) == 2
    assert dead(connection, comment) == [1, 2, 3, 4, 5, 6, 7, 8]
