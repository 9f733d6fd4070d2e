"""
Two sessions at once, in either order: no orphan, and nobody waits for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from tests.features.soft_delete.stage import Stage, error_of
from tests.features.soft_delete.tables import dead, execute, live

if TYPE_CHECKING:
    from tests.fixtures.database import Database


@pytest.fixture
def stage(database: Database) -> Stage:
    """
    The tables, in a database of their own.
    """
    return Stage(database)


ADD = "INSERT INTO comment (id, task_id, org_id) VALUES (9, 1, 1)"
MOVE = "UPDATE comment SET task_id = 1 WHERE id = 3"
DELETE = "UPDATE task SET deleted_at = now() WHERE id = 1"


@pytest.mark.parametrize("statement", [ADD, MOVE])
def test_child_first(stage: Stage, statement: str) -> None:
    """Whoever deletes a row waits for the child that is being added, and takes it along."""
    with stage.sessions() as (one, two):
        one.start(statement, waits=False)
        deleting = two.start(DELETE, waits=True)
        one.connection.commit()
        deleting.result(timeout=20)
        two.connection.commit()
    stage.sound()
    assert dead(stage.engine, stage.comment) == ([1, 2, 9] if statement is ADD else [1, 2, 3])


@pytest.mark.parametrize("statement", [ADD, MOVE])
def test_parent_first(stage: Stage, statement: str) -> None:
    """Whoever adds a child below a row that is being deleted waits, and is refused."""
    with stage.sessions() as (one, two):
        one.start(DELETE, waits=False)
        adding = two.start(statement, waits=True)
        one.connection.commit()
        assert isinstance(error_of(adding), psycopg.errors.ForeignKeyViolation)
        two.connection.rollback()
    stage.sound()


@pytest.mark.parametrize("statement", [ADD, MOVE])
def test_parent_first_undone(stage: Stage, statement: str) -> None:
    """If that deletion is undone, the child is let in."""
    with stage.sessions() as (one, two):
        one.start(DELETE, waits=False)
        adding = two.start(statement, waits=True)
        one.connection.rollback()
        adding.result(timeout=20)
        two.connection.commit()
    stage.sound()
    assert dead(stage.engine, stage.task) == []


def test_child_without_the_option(stage: Stage) -> None:
    """A foreign key alone is enough for the child that came first."""
    with stage.sessions() as (one, two):
        one.start("INSERT INTO task (id, project_id) VALUES (9, 1)", waits=False)
        deleting = two.start("UPDATE project SET deleted_at = now() WHERE id = 1", waits=True)
        one.connection.commit()
        deleting.result(timeout=20)
        two.connection.commit()
    stage.sound()
    assert 9 in dead(stage.engine, stage.task)


def test_restore_first(stage: Stage) -> None:
    """Whoever deletes a row waits for the child that is being restored, and takes it along."""
    execute(stage.engine, "UPDATE comment SET deleted_at = now() WHERE id = 1")
    with stage.sessions() as (one, two):
        one.start("UPDATE comment SET deleted_at = NULL WHERE id = 1", waits=False)
        deleting = two.start(DELETE, waits=True)
        one.connection.commit()
        deleting.result(timeout=20)
        two.connection.commit()
    stage.sound()
    assert dead(stage.engine, stage.comment) == [1, 2]


def test_restore_second(stage: Stage) -> None:
    """Whoever restores a child of a row that is being deleted waits, and is refused."""
    execute(stage.engine, "UPDATE comment SET deleted_at = now() WHERE id = 1")
    with stage.sessions() as (one, two):
        one.start(DELETE, waits=False)
        restoring = two.start("UPDATE comment SET deleted_at = NULL WHERE id = 1", waits=True)
        one.connection.commit()
        assert "cannot be restored" in str(error_of(restoring))
        two.connection.rollback()
    stage.sound()


def test_a_row_moves_while_it_is_restored(stage: Stage) -> None:
    """What comes back below another row than it was below: whoever deletes that one waits for it."""
    execute(stage.engine, DELETE)
    with stage.sessions() as (one, two):
        one.start("UPDATE comment SET task_id = 3 WHERE id = 1", waits=False)
        restoring = two.start("UPDATE task SET deleted_at = NULL WHERE id = 1", waits=True)
        one.connection.commit()
        restoring.result(timeout=20)
        deleting = one.start("UPDATE task SET deleted_at = now() WHERE id = 3", waits=True)
        two.connection.commit()
        deleting.result(timeout=20)
        one.connection.commit()
    stage.sound()
    assert 1 in dead(stage.engine, stage.comment)
    assert dead(stage.engine, stage.task) == [3]


@pytest.mark.parametrize("parent_first", [True, False])
def test_parent_and_child_deleted_at_once(stage: Stage, parent_first: bool) -> None:
    """Two deletions, one above the other: the second waits, and each takes what is left."""
    orders = [DELETE, "UPDATE comment SET deleted_at = now() WHERE id = 1 AND deleted_at IS NULL"]
    first, second = orders if parent_first else orders[::-1]
    with stage.sessions() as (one, two):
        one.start(first, waits=False)
        waiting = two.start(second, waits=True)
        one.connection.commit()
        waiting.result(timeout=20)
        two.connection.commit()
    stage.sound()
    with stage.engine.connect() as connection:
        own, below = (
            connection.execute(sa.select(table.c.deletion_id).where(table.c.id == 1)).scalar_one()
            for table in (stage.task, stage.comment)
        )
    assert (own == below) == parent_first


def test_same_row_restored_twice(stage: Stage) -> None:
    """Two who restore the same deletion: the second finds it done."""
    execute(stage.engine, "UPDATE org SET deleted_at = now()")
    restore = "UPDATE org SET deleted_at = NULL WHERE deleted_at IS NOT NULL"
    with stage.sessions() as (one, two):
        one.start(restore, waits=False)
        waiting = two.start(restore, waits=True)
        one.connection.commit()
        assert waiting.result(timeout=20).rowcount == 0
        two.connection.commit()
    stage.sound()
    assert live(stage.engine, stage.comment) == [1, 2, 3]


def test_restore_against_a_deletion_half_way_down(stage: Stage) -> None:
    """A restore asks for the highest parent first, as a deletion does: they do not meet head-on."""
    execute(stage.engine, DELETE)
    with stage.sessions(3) as (holder, deleter, restorer):
        holder.start("SELECT FROM project WHERE id = 0 FOR UPDATE", waits=False)
        deleting = deleter.start("UPDATE org SET deleted_at = now()", waits=True)
        restoring = restorer.start("UPDATE task SET deleted_at = NULL WHERE id = 1", waits=True)
        holder.connection.rollback()
        deleting.result(timeout=20)
        deleter.connection.commit()
        assert "row (1) of table public.org above it is deleted" in str(error_of(restoring))
        restorer.connection.rollback()
    stage.sound()


def test_child_added_against_a_deletion_half_way_down(stage: Stage) -> None:
    """So does the refusal of orphans."""
    with stage.sessions(3) as (holder, deleter, adder):
        holder.start("SELECT FROM project WHERE id = 0 FOR UPDATE", waits=False)
        deleting = deleter.start("UPDATE org SET deleted_at = now()", waits=True)
        adding = adder.start(ADD, waits=True)
        holder.connection.rollback()
        deleting.result(timeout=20)
        deleter.connection.commit()
        assert "cannot stand below row (1) of table public.org" in str(error_of(adding))
        adder.connection.rollback()
    stage.sound()


DEEPER = (
    "INSERT INTO task (id, up) VALUES (4, 2), (5, 4), (6, 5)",
    "INSERT INTO comment (id, task_id, org_id) VALUES (4, 4, 1), (5, 5, 1), (6, 6, 1)",
)


@pytest.mark.parametrize("level", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("root", ["org", "project", "task"])
def test_each_level_is_held(stage: Stage, root: str, level: int) -> None:
    """Every row that a deletion takes is held against children, however far down it is."""
    execute(stage.engine, *DEEPER)
    with stage.sessions() as (one, two):
        one.start(f"UPDATE {root} SET deleted_at = now() WHERE id = 1", waits=False)
        add = f"INSERT INTO comment (id, task_id) VALUES (9, {level})"
        adding = two.start(add, waits=True)
        one.connection.commit()
        assert isinstance(error_of(adding), psycopg.errors.ForeignKeyViolation)
        two.connection.rollback()
    stage.sound()


@pytest.mark.parametrize("level", [2, 4, 5, 6])
def test_each_level_is_held_against_restoring(stage: Stage, level: int) -> None:
    """And against those who restore a row below it that died before."""
    execute(stage.engine, *DEEPER, f"UPDATE task SET deleted_at = now() WHERE id = {level}")
    with stage.sessions() as (one, two):
        one.start("UPDATE project SET deleted_at = now() WHERE id = 1", waits=False)
        text = f"UPDATE task SET deleted_at = NULL WHERE id = {level}"
        restoring = two.start(text, waits=True)
        one.connection.commit()
        assert isinstance(error_of(restoring), psycopg.errors.ForeignKeyViolation)
        two.connection.rollback()
    stage.sound()


def test_serializable(stage: Stage) -> None:
    """Where a snapshot is older than the child, SERIALIZABLE refuses one of the two."""
    with stage.sessions() as (one, two):
        for each in (one, two):
            each.start(
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT 1 FROM comment", waits=False
            )
        one.start(ADD, waits=False)
        deleting = two.start(DELETE, waits=True)
        one.connection.commit()
        assert error_of(deleting).sqlstate == "40001"
        two.connection.rollback()
    stage.sound()
