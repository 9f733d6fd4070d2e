"""
Transactions that began before the rows were copied: they would see the other table without them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import text

from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.patience import SLEEP

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.patience import Patience

__all__ = ["moment", "outlive"]

NOW = text(
    "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text, "
    "pg_catalog.clock_timestamp()::text"
)
OLDER = text(
    "SELECT a.pid FROM pg_catalog.pg_stat_activity AS a "
    "WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend' "
    "AND a.pid <> pg_catalog.pg_backend_pid() "
    "AND a.xact_start < CAST(CAST(:began AS text) AS timestamptz) "
    "AND pg_catalog.age(a.backend_xmin) "
    "> pg_catalog.age(CAST(CAST(CAST(:next AS text) AS xid8) AS xid)) ORDER BY a.xact_start"
)
PAUSE = 0.1


def moment(connection: Connection) -> list[str]:
    """
    The next transaction's number and the time, when all rows are there.
    """
    return list(connection.execute(NOW).one())


def outlive(patience: Patience, since: list[str]) -> None:
    """
    Wait until no other session has a snapshot from before a moment, as an index CONCURRENTLY does.

    REPEATABLE READ and SERIALIZABLE go on with the snapshot of their first statement. Sessions of
    other roles are seen by members of ``pg_read_all_stats`` alone.

    Raises:
        PgultraError: one has, for all the time of the patience.
    """
    end = time.monotonic() + patience.patience
    while True:
        with patience.transaction() as connection:
            asked = {"next": since[0], "began": since[1]}
            found = list(connection.execute(OLDER, asked).scalars())
        if not found:
            return
        if time.monotonic() > end:
            raise PgultraError(
                f"a transaction of the session with pid {', '.join(map(str, found))} began before "
                "all rows were copied, and would see a table without them after the exchange: "
                f"{patience.patience:g} seconds were not enough for it. What is done stays; when "
                "it has ended, start again"
            )
        with patience.connection.begin():
            patience.connection.execute(SLEEP, {"seconds": PAUSE})
