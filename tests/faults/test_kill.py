from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.faults import library, operations
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.promises import keeps, promised
from tests.faults.scene import broken_off, log, rehearsed, settled, whole
from tests.faults.trap import Trap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.usefixtures("migrations")]

SHARES = (0.0, 0.4, 0.75, 1.0)
"""How far the work has come when the server is killed; 1.0 is before its last COMMIT."""


@keeps("kill", *OPERATIONS)
@pytest.mark.parametrize("name", promised("kill"))
def test_a_killed_server(
    cluster: Cluster, drop_later: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """
    Killed before chosen statements and at a random time: nothing lost, and the same call ends it.
    """
    operation = OPERATIONS[name]
    seed = random.randrange(1_000_000)
    log.warning("seed %d", seed)
    chance = random.Random(seed)
    plan, took = rehearsed(cluster, operation, tmp_path / "dry")
    steps = len(plan.sent)
    places = {max(1, round(share * steps)) for share in SHARES}
    for words in operation.landmarks:
        places.add(plan.places(words)[-1])
    moments = [*((place, 0.0) for place in sorted(places)), (0, chance.uniform(0, took))]
    for turn, (at, delay) in enumerate(moments):
        log.warning("statement %d of %d, or after %.3f s of %.3f", at, steps, delay, took)
        database = drop_later(cluster.database(operation.template, operation.prepare))
        engine = cluster.engine(database)
        before = library.contents(engine)
        folder = tmp_path / str(turn)
        if at:
            with Trap(engine, at, cluster.kill) as trap:
                error = broken_off(operation.act, engine, folder)
            assert trap.sprung
            assert error is not None
        else:
            killer = threading.Timer(delay, cluster.kill)
            killer.start()
            broken_off(operation.act, engine, folder)
            killer.join()
        cluster.again()
        whole(operation, engine, before)
        operation.act(engine, folder)
        settled(operation, engine, before)


@pytest.fixture
def stopped(cluster: Cluster, drop_later: Callable[[str], str], tmp_path: Path) -> Stopped:
    """
    Something to be killed while it waits.
    """
    return Stopped(cluster, drop_later, tmp_path)


class Stopped:
    """
    Work that waits for somebody's transaction when the server is killed.
    """

    def __init__(self, cluster: Cluster, drop_later: Callable[[str], str], folder: Path) -> None:
        self.cluster, self.drop_later, self.folder = cluster, drop_later, folder

    def kill(self, operation: Operation, holding: str, waiting: str) -> sa.Engine:
        """
        Kill when a statement waits for one who has done something, and start again.
        """
        database = self.drop_later(self.cluster.database(operation.template, operation.prepare))
        engine = self.cluster.engine(database)
        if operation.name == "alembic upgrade":
            operations.environment(engine, self.folder).upgrade("+1")
        with engine.connect() as other:
            other.exec_driver_sql(holding)
            errors: list[BaseException | None] = []
            worker = threading.Thread(
                target=lambda: errors.append(broken_off(operation.act, engine, self.folder))
            )
            worker.start()
            with engine.connect() as watcher:
                for _ in range(600):
                    found = watcher.execute(
                        sa.text(
                            "SELECT FROM pg_stat_activity WHERE query ~ :waiting "
                            "AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
                        ),
                        {"waiting": waiting},
                    ).first()
                    watcher.rollback()
                    if found is not None:
                        break
                    time.sleep(0.01)
                assert found is not None, f"{waiting} did not wait"
                self.cluster.kill()
                watcher.invalidate()
            worker.join()
            assert errors[0] is not None
            other.invalidate()
        self.cluster.again()
        return engine


@keeps("kill", "alembic upgrade")
def test_killed_while_an_index_is_built_concurrently(stopped: Stopped) -> None:
    """
    The INVALID index that is left is dropped and built anew by the same upgrade.
    """
    operation = OPERATIONS["alembic upgrade"]
    engine = stopped.kill(operation, "LOCK shelf IN ROW EXCLUSIVE MODE", "^CREATE INDEX CONC")
    with engine.connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'shelf_name'::regclass"
        assert connection.exec_driver_sql(valid).scalar_one() is False
    operation.act(engine, stopped.folder)
    operation.finished(engine)


@keeps("kill", "partitions maintain")
@pytest.mark.parametrize("words", ["CREATE INDEX CONCURRENTLY", "DETACH PARTITION"])
def test_killed_while_a_partition_is_at_work(stopped: Stopped, words: str) -> None:
    """
    An INVALID index of a partition and a pending detachment are finished by the same call.
    """
    operation = OPERATIONS["partitions maintain"]
    holding = {
        "CREATE INDEX CONCURRENTLY": "LOCK loan IN ROW EXCLUSIVE MODE",
        "DETACH PARTITION": "SELECT count(*) FROM loan",
    }[words]
    engine = stopped.kill(operation, holding, words)
    before = library.contents(engine)
    assert len(before["loan"]) == library.LOANS
    operation.act(engine, stopped.folder)
    operation.finished(engine)
    assert library.contents(engine) == before
