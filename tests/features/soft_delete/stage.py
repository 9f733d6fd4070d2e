"""
Tables and sessions for the tests of races.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.features.soft_delete.tables import Schema, execute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tests.fixtures.database import Database

__all__ = ["Other", "Stage", "error_of"]


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
                    sa.exists().where(
                        parent.c.id == table.c[lower], parent.c.deleted_at.is_not(None)
                    )
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
            assert orphans == [], orphans
            for table in self.schema.metadata.tables.values():
                halves = connection.execute(
                    sa.select(table.c.id).where(
                        table.c.deleted_at.is_(None) != table.c.deletion_id.is_(None)
                    )
                ).all()
                assert halves == [], (table.name, halves)


def error_of(future: Future[Any]) -> psycopg.Error:
    """
    Wait for what must fail.
    """
    with pytest.raises(sa.exc.DBAPIError) as caught:
        future.result(timeout=20)
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig
