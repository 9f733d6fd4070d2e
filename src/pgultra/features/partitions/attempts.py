"""
How upkeep speaks to the database: short transactions, a lock_timeout, and another attempt.

A statement that waits for a lock makes everybody wait who comes after it. So each one waits
for a moment only, gives way, and tries again after a pause that grows.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.children import LOCK
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from sqlalchemy import Connection

__all__ = ["Attempts", "alone", "plainly"]

Answer = TypeVar("Answer")

GIVE_WAY = frozenset({"55P03", "40P01"})
"""lock_not_available and deadlock_detected: what another attempt may overcome."""

TRY_LOCK = """
SELECT pg_catalog.pg_try_advisory_lock(
    CAST(:lock AS int), CAST(CAST(CAST(:table AS bigint) AS bit(32)) AS int))
"""
SET = "SELECT pg_catalog.set_config('lock_timeout', :timeout, false)"
UNLOCK = """
SELECT pg_catalog.pg_advisory_unlock(
    CAST(:lock AS int), CAST(CAST(CAST(:table AS bigint) AS bit(32)) AS int))
"""


def plainly(name: str) -> str:
    r"""
    A quoted name within ``text()``, where a colon would begin a parameter.

    >>> plainly('"a:b".event')
    '"a\\:b".event'
    """
    return name.replace(":", "\\:")


@contextmanager
def alone(connection: Connection, oid: int) -> Iterator[bool]:
    """
    Hold the advisory lock of a partitioned table; False if somebody else holds it.

    It is the one that the function for premaking takes.

    It belongs to the session, since some acts cannot run within a transaction, and goes
    with it when the process is killed.
    """
    with connection.begin():
        held = bool(rows(connection, TRY_LOCK, lock=LOCK, table=oid)[0][0])
    try:
        yield held
    finally:
        if held and not connection.closed and not connection.invalidated:
            if connection.in_transaction():
                connection.rollback()
            with connection.begin():
                rows(connection, UNLOCK, lock=LOCK, table=oid)


@dataclass
class Attempts:
    """
    A connection, and how patient it is.

    Args:
        connection: in no transaction.
        lock_timeout: how long one attempt waits for a lock, in seconds.
        attempts: how often each act is tried.
        pause: seconds before the second attempt; doubled each time, up to 30.
    """

    connection: Connection
    lock_timeout: float = 2.0
    attempts: int = 10
    pause: float = 0.5

    def __post_init__(self) -> None:
        if self.connection.in_transaction():
            raise PgultraError(
                "the upkeep of partitions makes transactions of its own, and DETACH CONCURRENTLY "
                "can run in none: give a connection that is in no transaction"
            )
        if self.attempts < 1 or self.lock_timeout <= 0:
            raise PgultraError("attempts must be 1 at least, and lock_timeout more than 0 seconds")
        self.tried = 0
        """Attempts that had to give way, over all acts."""

    @property
    def _timeout(self) -> str:
        return f"{max(1, round(self.lock_timeout * 1000))}ms"

    @contextmanager
    def levels(self) -> Iterator[None]:
        """
        Leave the connection with the isolation level that it came with.
        """
        before = self.connection.get_execution_options().get("isolation_level")
        if before is None:  # what create_engine(isolation_level=...) said
            before = getattr(self.connection.dialect, "_on_connect_isolation_level", None)
        try:
            yield
        finally:
            if not self.connection.closed and not self.connection.invalidated:
                if self.connection.in_transaction():
                    self.connection.rollback()
                self._level(before or self.connection.default_isolation_level)

    def _level(self, level: Any) -> None:
        if self.connection.get_execution_options().get("isolation_level") != level:
            self.connection.execution_options(isolation_level=level)

    @contextmanager
    def transaction(self, *, patient: bool = False) -> Iterator[Connection]:
        """
        One short transaction at READ COMMITTED, with values printed the same everywhere.

        Nothing is compiled (``jit``): that takes longer than any question to the catalog.

        Args:
            patient: wait for locks as long as it takes: for reading only.
        """
        self._level("READ COMMITTED")
        with self.connection.begin():
            timeout = "0" if patient else self._timeout
            self.connection.execute(
                text(
                    "SELECT pg_catalog.set_config('lock_timeout', :timeout, true), "
                    "pg_catalog.set_config('jit', 'off', true), "
                    "pg_catalog.set_config('TimeZone', 'UTC', true), "
                    "pg_catalog.set_config('DateStyle', 'ISO', true), "
                    "pg_catalog.set_config('IntervalStyle', 'postgres', true), "
                    "pg_catalog.set_config('bytea_output', 'hex', true), "
                    "pg_catalog.set_config('extra_float_digits', '1', true)"
                ),
                {"timeout": timeout},
            )
            yield self.connection

    def run(self, statements: Iterable[str]) -> None:
        """
        Run statements in one transaction, again and again until no lock is in the way.
        """
        texts = tuple(statements)

        def once() -> None:
            with self.transaction() as connection:
                for each in texts:
                    connection.execute(sql.statement(each))

        self.until_it_works(once)

    def outside(self, statement: str, *, patient: bool = False) -> None:
        """
        Run one statement that cannot be in a transaction. One attempt: what it left is seen to.

        Args:
            statement: as text.
            patient: without a lock_timeout.
        """
        self._level("AUTOCOMMIT")
        timeout = "0" if patient else self._timeout
        with self.connection.begin():  # SQLAlchemy's own word; nothing is sent
            (before,) = rows(self.connection, "SELECT pg_catalog.current_setting('lock_timeout')")
            rows(self.connection, SET, timeout=timeout)
        try:
            with self.connection.begin():
                self.connection.execute(sql.statement(statement))
        finally:
            if not (self.connection.invalidated or self.connection.closed):
                with self.connection.begin():
                    rows(self.connection, SET, timeout=before[0])

    def until_it_works(self, act: Callable[[], Answer], more: Collection[str] = ()) -> Answer:
        """
        Call, and call again after a pause when a lock was not to be had.

        Args:
            act: is called.
            more: SQLSTATEs that another attempt may overcome, too.

        Raises:
            sqlalchemy.exc.DBAPIError: of the last attempt, or of another kind.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return act()
            except DBAPIError as error:
                if sqlstate_of(error) not in {*GIVE_WAY, *more} or attempt == self.attempts:
                    raise
                self.tried += 1
                self._rest(attempt)
        raise AssertionError("unreachable")

    def _rest(self, attempt: int) -> None:
        """
        Sleep on the server, so that an event loop goes on meanwhile.
        """
        seconds = min(30.0, self.pause * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
        self._level("AUTOCOMMIT")
        with self.connection.begin():
            rows(self.connection, "SELECT pg_catalog.pg_sleep(:seconds)", seconds=seconds)
