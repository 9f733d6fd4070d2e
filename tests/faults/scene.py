"""
How a fault is brought about in the middle of an operation, and what must hold afterwards.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra.errors import PgultraError
from tests.faults import library, operations
from tests.faults.operations import Incomplete
from tests.faults.trap import Trap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.cluster import Cluster
    from tests.faults.operations import Operation

log = logging.getLogger("faults")
"""pytest shows what it says when a test fails: seeds, above all."""


def whole(operation: Operation, engine: sa.Engine, before: dict[str, Any]) -> None:
    """
    Between the fault and the second try: nothing is lost, nothing is half done.
    """
    now = library.contents(engine, 2)
    if operation.name == "soft_delete purge":
        books = {row[1] for row in now["book"]}
        for number in operations.OLD:  # a shelf and its books are gone, or none of them is
            assert (number in books) == (number in {row[0] for row in now["shelf"]})
        assert [row for row in now["book"] if row[1] not in operations.OLD] == [
            row for row in before["book"] if row[1] not in operations.OLD
        ]
    elif operation.template == "vector":  # everything or nothing
        made = set(sa.inspect(engine).get_table_names()) & set(library.library().metadata.tables)
        assert made in (set(), set(library.library().metadata.tables))
    else:
        assert now == before


def rehearsed(cluster: Cluster, operation: Operation, folder: Path) -> tuple[Trap, float]:
    """
    Do the work once without a fault: what is sent, and how many seconds it takes.
    """
    name = cluster.database(operation.template, operation.prepare)
    engine = cluster.engine(name)
    begun = time.monotonic()
    with Trap(engine) as trap:
        operation.act(engine, folder)
    took = time.monotonic() - begun
    operation.finished(engine)
    cluster.drop(name)
    return trap, took


def broken_off(work: Callable[..., object], *arguments: Any) -> BaseException | None:
    """
    Run until the server goes away: the error must be the driver's, or one of ours.
    """
    try:
        work(*arguments)
    except (sa.exc.DBAPIError, PgultraError, Incomplete) as error:
        return error
    except sa.exc.PendingRollbackError as error:  # where Alembic leaves its autocommit_block
        if isinstance(error.__context__, sa.exc.DBAPIError):
            return error
        raise
    return None


def settled(operation: Operation, engine: sa.Engine, before: dict[str, Any]) -> None:
    """
    After the second try: everything is done, and everything is there.
    """
    operation.finished(engine)
    if operation.template != "vector" and operation.name != "soft_delete purge":
        assert library.contents(engine, 2) == before
