"""
Two sessions and sixteen: no orphan, no half of a deletion, no deadlock.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from pgultra.features.soft_delete.locks import before_restore
from tests.features.soft_delete.tables import Schema, dead, execute, live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from tests.fixtures.database import Database


class Other:
    """
    A second session, whose statements run in a thread of their own.
    """

    def __init__(self, connection: sa.Connection, watcher: sa.Connection) -> None:
        self.connection = connection
        self.watcher = watcher
        self.pool = ThreadPoolExecutor(max_workers=1)
        self.pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        connection.commit()

    def start(self, *statements: str, waits: bool) -> Future[Any]:
        """
        Begin statements, and make sure that they wait for a lock, or that they do not.
        """
        future = self.pool.submit(execute, self.connection, *statements)
        if not waits:
            future.result(timeout=20)
            return future
        for _ in range(2000):
            if future.done():
                future.result()
                pytest.fail("did not wait")
            waiting = self.watcher.execute(
                sa.text("SELECT cardinality(pg_blocking_pids(:pid)) > 0"), {"pid": self.pid}
            ).scalar_one()
            self.watcher.rollback()
            if waiting:
                return future
            time.sleep(0.01)
        pytest.fail("neither waits nor ends")


class Stage:
    """
    Organisations, their projects, tasks, and comments, which carry the organisation too.
    """

    def __init__(self, database: Database) -> None:
        self.engine = database.engine(pool_size=40)
        self.schema = Schema()
        self.org = self.schema.table("org")
        self.project = self.schema.table(
            "project", sa.Column("org_id", sa.ForeignKey("org.id")), refuse_orphans=True
        )
        self.task = self.schema.table(
            "task",
            sa.Column("project_id", sa.ForeignKey("project.id"), index=True),
            sa.Column("up", sa.ForeignKey("task.id"), index=True),
        )
        self.comment = self.schema.table(
            "comment",
            sa.Column("task_id", sa.ForeignKey("task.id"), index=True),
            sa.Column("org_id", sa.ForeignKey("org.id"), index=True),
            refuse_orphans=True,
        )
        self.schema.edge(self.org, self.project, id="org_id")
        self.schema.edge(self.project, self.task, id="project_id")
        self.schema.edge(self.task, self.task, id="up")
        self.schema.edge(self.task, self.comment, id="task_id")
        self.schema.edge(self.org, self.comment, id="org_id")
        self.schema.create(self.engine)
        execute(
            self.engine,
            "INSERT INTO org VALUES (1)",
            "INSERT INTO project (id, org_id) VALUES (0, 1), (1, 1)",
            "INSERT INTO task (id, project_id, up) VALUES (1, 1, NULL), (2, NULL, 1), (3, 0, NULL)",
            "INSERT INTO comment (id, task_id, org_id) VALUES (1, 1, 1), (2, 2, 1), (3, 3, 1)",
        )

    @contextmanager
    def sessions(self, count: int = 2) -> Iterator[list[Other]]:
        """
        Open sessions for the length of a block.
        """
        connections = [self.engine.connect() for _ in range(count + 1)]
        watcher = connections.pop()
        others = [Other(connection, watcher) for connection in connections]
        try:
            yield others
        finally:
            for other in others:
                if other.pool._work_queue.qsize() == 0:
                    other.pool.shutdown(wait=True)
                other.connection.close()
            watcher.close()

    def whole(self, roots: dict[Any, tuple[sa.Table, int]]) -> None:
        """
        Check that what is dead is the root of its deletion, or below what is dead.
        """
        with self.engine.connect() as connection:
            for table in self.schema.metadata.tables.values():
                above = [
                    sa.exists().where(parent.c.id == table.c[lower], parent.c.deleted_at.is_not(None))
                    for edge in self.schema.shape(table).above
                    for lower in edge.child_key
                    for parent in [self.schema.metadata.tables[edge.parent.name].alias()]
                ]
                alone = sa.select(table.c.id, table.c.deletion_id).where(
                    table.c.deleted_at.is_not(None), *(~each for each in above)
                )
                for key, deletion in connection.execute(alone):
                    assert roots[deletion] == (table, key)

    def sound(self) -> None:
        """
        Check that no live row is below a dead one, and that the columns agree.
        """
        with self.engine.connect() as connection:
            orphans = connection.execute(
                sa.text(
                    "SELECT 'project', c.id FROM project c JOIN org p ON p.id = c.org_id"
                    " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
                    " UNION ALL SELECT 'task', c.id FROM task c JOIN project p ON p.id = c.project_id"
                    " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
                    " UNION ALL SELECT 'task', c.id FROM task c JOIN task p ON p.id = c.up"
                    " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
                    " UNION ALL SELECT 'comment', c.id FROM comment c JOIN task p ON p.id = c.task_id"
                    " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
                    " UNION ALL SELECT 'comment', c.id FROM comment c JOIN org p ON p.id = c.org_id"
                    " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL"
                )
            ).all()
            assert orphans == []
            for table in self.schema.metadata.tables.values():
                halves = connection.execute(
                    sa.select(table.c.id).where(
                        table.c.deleted_at.is_(None) != table.c.deletion_id.is_(None)
                    )
                ).all()
                assert halves == []


@pytest.fixture
def stage(database: Database) -> Stage:
    """
    The tables, in a database of their own.
    """
    return Stage(database)


def error_of(future: Future[Any]) -> psycopg.Error:
    """
    Wait for what must fail.
    """
    with pytest.raises(sa.exc.DBAPIError) as caught:
        future.result(timeout=20)
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig


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


def test_serializable(stage: Stage) -> None:
    """Where a snapshot is older than the child, SERIALIZABLE refuses one of the two."""
    with stage.sessions() as (one, two):
        for each in (one, two):
            each.start("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT 1 FROM comment", waits=False)
        one.start(ADD, waits=False)
        deleting = two.start(DELETE, waits=True)
        one.connection.commit()
        with pytest.raises(sa.exc.DBAPIError) as caught:
            deleting.result(timeout=20)
            two.connection.commit()
        assert getattr(caught.value.orig, "sqlstate", None) == "40001"
        two.connection.rollback()
    stage.sound()


class Storm:
    """
    Many threads that delete and restore rows of one tree, one operation to a transaction.
    """

    def __init__(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self.until = time.monotonic() + seconds
        self.done: dict[str, int] = {}
        self.lock = threading.Lock()

    def run(self, operate: Callable[[sa.Connection, random.Random], None], threads: int = 16) -> None:
        """
        Let them loose; whatever is not a refusal ends the test.
        """
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for future in [pool.submit(self._thread, operate, seed) for seed in range(threads)]:
                future.result()

    def _thread(self, operate: Callable[[sa.Connection, random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        with self.stage.engine.connect() as connection:
            while time.monotonic() < self.until:
                try:
                    with connection.begin():
                        operate(connection, chance)
                    outcome = "done"
                except sa.exc.IntegrityError as error:
                    assert isinstance(error.orig, psycopg.errors.ForeignKeyViolation)
                    outcome = "refused"
                with self.lock:
                    self.done[outcome] = self.done.get(outcome, 0) + 1

    def grow(self) -> None:
        """
        Plant a larger tree.
        """
        execute(
            self.stage.engine,
            "INSERT INTO project (id, org_id) SELECT g, 1 FROM generate_series(2, 4) AS g",
            "INSERT INTO task (id, project_id) SELECT g, 1 + g % 4 FROM generate_series(10, 19) AS g",
            "INSERT INTO task (id, up) SELECT g, 10 + g % 10 FROM generate_series(20, 39) AS g",
            "INSERT INTO task (id, up) SELECT g, 20 + g % 20 FROM generate_series(40, 59) AS g",
            "INSERT INTO comment (id, task_id, org_id)"
            " SELECT g, 10 + g % 50, 1 FROM generate_series(100, 199) AS g",
        )


@pytest.mark.parametrize("first", ["the root", "parents"])
def test_sixteen_threads(stage: Stage, first: str) -> None:
    """Deleting, restoring and adding anywhere in one tree ends sound, without a deadlock."""
    storm = Storm(stage, seconds=6)
    storm.grow()
    tables = {
        stage.org: [1],
        stage.project: [1, 2, 3, 4],
        stage.task: list(range(10, 60)),
        stage.comment: list(range(100, 200)),
    }
    numbers = itertools.count(1000)
    roots: dict[Any, tuple[sa.Table, int]] = {}

    def operate(connection: sa.Connection, chance: random.Random) -> None:
        table = chance.choice(list(tables))
        key = chance.choice(tables[table])
        own = sa.select(table.c.deleted_at, table.c.deletion_id).where(table.c.id == key)
        change = table.update().where(table.c.id == key)
        if first == "the root":
            connection.execute(sa.select(stage.org.c.id).with_for_update())
        if chance.random() < 0.15:
            task = chance.choice(tables[stage.task])
            comment = {"id": next(numbers), "task_id": task, "org_id": 1}
            connection.execute(stage.comment.insert(), [comment])
            return
        since, deletion = connection.execute(own).one()
        if since is None:
            connection.execute(own.with_for_update())
            delete = change.where(table.c.deleted_at.is_(None)).values(deleted_at=sa.func.now())
            for found in connection.execute(delete.returning(table.c.deletion_id)).scalars():
                roots[found] = (table, key)
            return
        if first == "parents":
            for statement in before_restore(stage.schema.shape(table), [deletion]):
                connection.execute(statement)
        restore = change.where(table.c.deletion_id == deletion).values(deleted_at=None)
        connection.execute(restore)

    storm.run(operate)
    assert storm.done["done"] > 50
    stage.sound()
    stage.whole(roots)
