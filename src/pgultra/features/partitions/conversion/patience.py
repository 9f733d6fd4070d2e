"""
Short transactions that never keep a writer waiting for long, and how long they did.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra.errors import PgultraError, sqlstate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

__all__ = ["SLEEP", "Overdue", "Patience"]

Answer = TypeVar("Answer")
GIVE_WAY = frozenset({"55P03", "40P01", "40001"})
CANCELED = "57014"
SETTINGS = text(
    "SELECT pg_catalog.set_config('lock_timeout', :timeout, true), "
    "pg_catalog.set_config('statement_timeout', :limit, true), "
    "CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 170000 "
    "THEN pg_catalog.set_config('transaction_timeout', '0', true) END, "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true), "
    "pg_catalog.set_config('search_path', CASE WHEN :safe THEN 'pg_catalog, pg_temp' "
    "ELSE pg_catalog.current_setting('search_path') END, true), "
    "pg_catalog.set_config('TimeZone', 'UTC', true), "
    "pg_catalog.set_config('DateStyle', 'ISO', true), "
    "pg_catalog.set_config('IntervalStyle', 'postgres', true), "
    "pg_catalog.set_config('extra_float_digits', '1', true), "
    "pg_catalog.set_config('bytea_output', 'hex', true), "
    "pg_catalog.set_config('enable_seqscan', CASE WHEN :by_index THEN 'off' "
    "ELSE pg_catalog.current_setting('enable_seqscan') END, true)"
)
DEADLOCK = text(
    "SELECT setting::float / 1000 FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'"
)
SLEEP = text("SELECT pg_catalog.pg_sleep(:seconds)")


class Overdue(Exception):
    """
    A statement took longer than its limit, and was taken back.
    """


@dataclass
class Patience:
    """
    How the converter waits.

    It gives way before PostgreSQL looks for a deadlock, so that a writer is never the one
    whose transaction is ended.

    Attributes:
        connection: in no transaction.
        lock_timeout: how long one attempt waits for a lock, in seconds.
        patience: for how long it tries, in seconds.
        longest: the longest time that a transaction of ours could have kept a writer waiting.
        given_way: how often it gave way.
    """

    connection: Connection
    lock_timeout: float = 0.2
    patience: float = 300.0
    longest: float = 0.0
    given_way: int = 0
    _asked: bool = field(default=False, repr=False)

    @contextmanager
    def transaction(
        self,
        *,
        blocking: bool = False,
        safe: bool = True,
        by_index: bool = False,
        limit: float | None = None,
    ) -> Iterator[Connection]:
        """
        One transaction.

        Args:
            blocking: what it takes counts as a writer's wait.
            safe: with ``pg_catalog`` as search_path, and not the caller's own.
            by_index: no scan of a whole table, however new its statistics are.
            limit: how long a statement may take, in seconds; None is as long as it likes.

        Raises:
            Overdue: one took longer than the limit.
        """
        self._ask()
        settings = {
            "timeout": _milliseconds(self.lock_timeout),
            "limit": "0" if limit is None else _milliseconds(limit),
            "safe": safe,
            "by_index": by_index,
        }
        start = time.perf_counter()
        try:
            with self.connection.begin():
                self.connection.execute(SETTINGS, settings)
                start = time.perf_counter()
                yield self.connection
        except DBAPIError as error:
            taken = time.perf_counter() - start
            if limit is None or taken < limit or sqlstate_of(error) != CANCELED:
                raise  # what somebody else cancels is cancelled
            raise Overdue from error
        finally:
            if blocking:
                self.longest = max(self.longest, time.perf_counter() - start)

    def _ask(self) -> None:
        """
        Keep below the server's deadlock_timeout.
        """
        if not self._asked:
            with self.connection.begin():
                limit = self.connection.execute(DEADLOCK).scalar_one()
            self.lock_timeout = min(self.lock_timeout, 0.5 * float(limit))
            self._asked = True

    def until_it_works(self, act: Callable[[], Answer]) -> Answer:
        """
        Call, and call again after a pause when a lock was not to be had.

        Raises:
            PgultraError: it was not to be had for all that time.
        """
        end = time.monotonic() + self.patience
        pause = 0.05
        while True:
            try:
                return act()
            except DBAPIError as error:
                if sqlstate_of(error) not in GIVE_WAY:
                    raise
                self.given_way += 1
                if time.monotonic() > end:
                    raise PgultraError(
                        f"a lock was not to be had for {self.patience:g} seconds: some transaction "
                        "keeps it (look into pg_stat_activity for old xact_start). What is done "
                        "stays; start again, and it goes on from here"
                    ) from error
            with self.connection.begin():
                self.connection.execute(SLEEP, {"seconds": pause})
            pause = min(2.0, pause * 1.5)


def _milliseconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
