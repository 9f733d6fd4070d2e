"""
One converter for one table at a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.patience import SLEEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

__all__ = ["alone"]

TRY_LOCK = text("SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(:key, 0))")
UNLOCK = text("SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(:key, 0))")


@contextmanager
def alone(connection: Connection, place: str, called: str) -> Iterator[None]:
    """
    Hold the table's advisory lock; the isolation level is put back afterwards.

    Args:
        connection: in no transaction.
        place: the table with its schema, whatever the search_path is.
        called: what an error calls it.

    Raises:
        PgultraError: somebody else is at it.
    """
    options = connection.get_execution_options()
    before = options.get("isolation_level") or connection.default_isolation_level
    connection.execution_options(isolation_level="READ COMMITTED")
    key = f"pgultra.partitions.convert:{place}"
    if not _held(connection, key):
        raise PgultraError(f"{called} is being converted by another session just now")
    try:
        yield
    finally:
        if not (connection.closed or connection.invalidated):
            if connection.in_transaction():
                connection.rollback()
            with connection.begin():
                connection.execute(UNLOCK, {"key": key})
            if before is not None:
                connection.execution_options(isolation_level=before)


def _held(connection: Connection, key: str) -> bool:
    """
    Take the lock; a converter that was killed may keep it for some seconds.
    """
    for _ in range(20):
        with connection.begin():
            if connection.execute(TRY_LOCK, {"key": key}).scalar_one():
                return True
            connection.execute(SLEEP, {"seconds": 0.25})
    return False
