"""
Writers and readers that never stop while a table is converted under them.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import BigInteger, DateTime, ForeignKeyConstraint, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import ByRange, PartitionedTable
from tests.fixtures.bystander import Bystander, bystander

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = """
CREATE TABLE event (
    id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, amount bigint
) WITH (fillfactor = 90);
CREATE INDEX event_at_idx ON event (at);
CREATE TABLE shadow (LIKE event INCLUDING ALL);
INSERT INTO event SELECT g, '2026-01-01 00:00+00'::timestamptz + g * interval '1 year' / {rows},
    'kind ' || g % 10, g FROM generate_series(1, {rows}) AS g;
INSERT INTO shadow SELECT * FROM event;
ANALYZE event, shadow;
"""
CHECKSUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM (SELECT id, at, kind, amount FROM {}) AS t"
MONTHS = [f"2026-{month:02}-15 12:00+00" for month in range(1, 13)]
LONGEST = 1
"""Seconds: what a conversion promises to everybody who writes meanwhile."""
STATEMENTS = 12
"""In the longest of a conversion's transactions: before each, a busy machine may keep it waiting."""
RETRY = ("40001", "40P01")


class Base(DeclarativeBase):
    pass


class Event(PartitionedTable, Base):
    """
    What the plain table shall be.
    """

    __tablename__ = "event"
    __partition_by__ = ByRange("at", every="1 month")
    __table_args__ = (Index("event_at_idx", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    kind: Mapped[str]
    amount: Mapped[int | None] = mapped_column(BigInteger)


class Remark(Base):
    """
    What refers to an event; some tests make its table, with a foreign key to the id alone.
    """

    __tablename__ = "remark"
    __table_args__ = (
        ForeignKeyConstraint(
            ["event_id", "event_at"],
            ["event.id", "event.at"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
    )

    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Storm:
    """
    Eight writers, each with keys of its own, that do everything twice: to the table and to its shadow.

    Attributes:
        longest: the longest time that a writer's transaction took, in seconds.
        allowed: how long it may take at most: a second, and what the machine took meanwhile from
            each of the statements that it may wait for.
        done: how many transactions were committed.
        retried: how many had to be tried again: only those of REPEATABLE READ may.
        errors: whatever else went wrong.
        read: how often a reader looked.
    """

    def __init__(self, dsn: str, rows: int, *, pause: float = 0.002) -> None:
        self.dsn, self.rows, self.pause = dsn, rows, pause
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.longest, self.done, self.retried, self.read = 0.0, 0, 0, 0
        self.errors: list[str] = []
        self.bystander = Bystander()

    @contextmanager
    def blowing(self, writers: int = 8, readers: int = 2) -> Iterator[Storm]:
        """
        Let them loose for the length of a block.
        """
        with (
            ThreadPoolExecutor(max_workers=writers + readers) as pool,
            bystander(self.dsn, computes=True) as self.bystander,
        ):
            futures = [pool.submit(self._write, number, writers) for number in range(writers)]
            futures += [pool.submit(self._look) for _ in range(readers)]
            try:
                yield self
            finally:
                self.over.set()
                for future in futures:
                    future.result()

    @property
    def allowed(self) -> float:
        return LONGEST + STATEMENTS * self.bystander.longest

    def checksums(self) -> tuple[Any, Any]:
        """
        Of the table and of the shadow.
        """
        with psycopg.connect(self.dsn) as connection:
            return tuple(  # type: ignore[return-value]
                connection.execute(CHECKSUM.format(name)).fetchone() for name in ("event", "shadow")
            )

    def _write(self, number: int, writers: int) -> None:
        chance = random.Random(number)
        fresh = self.rows + number
        with psycopg.connect(self.dsn) as connection:
            if number % 4 == 3:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not self.over.is_set():
                fresh += writers
                own = chance.randrange(self.rows // writers) * writers + number
                choice, kept = chance.random(), chance.random() > 0.05
                text, values = self._operation(choice, chance, own, fresh, number, writers)
                self._transaction(connection, text, values, kept=kept)
                time.sleep(self.pause)

    def _operation(
        self, choice: float, chance: random.Random, own: int, fresh: int, number: int, writers: int
    ) -> tuple[str, dict[str, Any]]:
        values: dict[str, Any] = {
            "id": own,
            "new": fresh,
            "at": chance.choice(MONTHS),
            "n": own + 400,
        }
        values |= {"writers": writers, "number": number % writers}
        if choice < 0.3:
            return "INSERT INTO {} VALUES (%(new)s, %(at)s, 'new', %(id)s)", values
        if choice < 0.6:
            return "UPDATE {} SET amount = amount + 1, kind = 'changed' WHERE id = %(id)s", values
        if choice < 0.75:
            return "UPDATE {} SET at = %(at)s WHERE id = %(id)s", values
        if choice < 0.85:
            return "DELETE FROM {} WHERE id = %(id)s", values
        if choice < 0.9:
            return "UPDATE {} SET id = %(new)s, at = %(at)s WHERE id = %(id)s", values
        several = "WHERE id BETWEEN %(id)s AND %(n)s AND id %% %(writers)s = %(number)s"
        if choice < 0.95:
            return f"UPDATE {{}} SET amount = -amount {several}", values
        return f"DELETE FROM {{}} {several} AND amount %% 3 = 0", values

    def _transaction(
        self, connection: psycopg.Connection[Any], text: str, values: dict[str, Any], *, kept: bool
    ) -> None:
        start = time.perf_counter()
        try:
            for table in ("event", "shadow"):
                connection.execute(text.format(table), values)  # type: ignore[call-overload]
            connection.commit() if kept else connection.rollback()
        except psycopg.Error as error:
            connection.rollback()
            with self.lock:
                if error.sqlstate in RETRY and connection.isolation_level is not None:
                    self.retried += 1
                else:
                    self.errors.append(f"{error.sqlstate} {error}")
                    self.over.set()
            return
        taken = time.perf_counter() - start
        with self.lock:
            self.done += 1
            self.longest = max(self.longest, taken)

    def _look(self) -> None:
        chance = random.Random()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.over.is_set():
                at = chance.choice(MONTHS)
                connection.execute(
                    "SELECT count(*) FROM event WHERE at BETWEEN %s AND %s::timestamptz + '1 hour'",
                    (at, at),
                )
                with self.lock:
                    self.read += 1
                time.sleep(0.01)
