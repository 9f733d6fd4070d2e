from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from tests.faults import library
from tests.faults.operations import OPERATIONS, Incomplete
from tests.faults.promises import keeps, promised
from tests.faults.scene import broken_off, log, rehearsed, settled, whole
from tests.faults.trap import Trap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.usefixtures("migrations")]

TIMES = 3


@keeps("cut", *OPERATIONS)
@pytest.mark.parametrize("name", promised("cut"))
def test_cut_connections(
    cluster: Cluster, drop_later: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """
    Cut again and again in one operation, with psycopg: each time it goes on where it was.
    """
    operation = OPERATIONS[name]
    seed = random.randrange(1_000_000)
    log.warning("seed %d", seed)
    chance = random.Random(seed)
    plan, _ = rehearsed(cluster, operation, tmp_path / "dry")
    database = drop_later(cluster.database(operation.template, operation.prepare))
    engine = cluster.engine(database)
    before = library.contents(engine)
    for _ in range(TIMES):
        at = chance.randint(1, len(plan.sent))
        log.warning("statement %d of %d", at, len(plan.sent))
        with Trap(engine, at, lambda: cluster.cut(database)) as trap:
            error = broken_off(operation.act, engine, tmp_path / "run")
        if trap.sprung:
            assert error is not None
        whole(operation, engine, before)
    operation.act(engine, tmp_path / "run")
    settled(operation, engine, before)


@keeps("cut", *OPERATIONS)
@pytest.mark.parametrize("name", promised("cut"))
async def test_cut_connections_of_asyncpg(
    cluster: Cluster, drop_later: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """
    The same with an AsyncEngine.
    """
    operation = OPERATIONS[name]
    seed = random.randrange(1_000_000)
    log.warning("seed %d", seed)
    chance = random.Random(seed)
    plan, _ = rehearsed(cluster, operation, tmp_path / "dry")
    database = drop_later(cluster.database(operation.template, operation.prepare))
    engine, own = cluster.async_engine(database), cluster.engine(database)
    before = library.contents(own)
    for _ in range(TIMES):
        at = chance.randint(1, len(plan.sent))
        log.warning("statement %d of %d", at, len(plan.sent))
        error: BaseException | None = None
        with Trap(engine.sync_engine, at, lambda: cluster.cut(database)) as trap:
            try:
                await operation.act_async(engine, tmp_path / "run")
            except (sa.exc.DBAPIError, sa.exc.PendingRollbackError, PgultraError) as found:
                error = found
            except Incomplete as found:
                error = found
        if trap.sprung:
            assert error is not None
        whole(operation, own, before)
    await operation.act_async(engine, tmp_path / "run")
    settled(operation, own, before)
    await engine.dispose()
