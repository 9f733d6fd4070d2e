"""
Sixteen threads on one tree: no orphan, no half of a deletion, no deadlock.
"""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features.soft_delete.locks import before_restore
from pgultra.features.soft_delete.shape import TableName
from tests.features.soft_delete.stage import Stage
from tests.features.soft_delete.tables import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database


@pytest.fixture
def stage(database: Database) -> Stage:
    """
    The tables, in a database of their own.
    """
    return Stage(database)


class Storm:
    """
    Many threads that delete and restore rows of one tree, one operation to a transaction.
    """

    def __init__(self, stage: Stage, operations: int) -> None:
        self.stage = stage
        self.operations = operations
        self.done: dict[str, int] = {}
        self.lock = threading.Lock()

    def run(
        self, operate: Callable[[sa.Connection, random.Random], None], threads: int = 16
    ) -> None:
        """
        Let them loose; whatever is not a refusal ends the test.
        """
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for future in [pool.submit(self._thread, operate, seed) for seed in range(threads)]:
                future.result()

    def _thread(self, operate: Callable[[sa.Connection, random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        with self.stage.engine.connect() as connection:
            while self.operations > 0:
                try:
                    with connection.begin():
                        operate(connection, chance)
                    outcome = "done"
                except sa.exc.IntegrityError as error:
                    outcome = type(error.orig).__name__
                with self.lock:
                    self.operations -= 1
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


@pytest.mark.slow
@pytest.mark.parametrize("first", ["the root", "parents"])
def test_sixteen_threads(stage: Stage, first: str) -> None:
    """Deleting, restoring and adding anywhere in one tree ends sound, without a deadlock."""
    storm = Storm(stage, operations=500)
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
            name = TableName(None, table.name)
            for statement in before_restore([name], stage.schema.edges, [deletion]):
                connection.execute(statement)
        restore = change.where(table.c.deletion_id == deletion).values(deleted_at=None)
        connection.execute(restore)

    storm.run(operate)
    assert set(storm.done) <= {"done", "ForeignKeyViolation"}
    assert storm.done["done"] > 20  # the others were refused
    stage.sound()
    stage.whole(roots)
