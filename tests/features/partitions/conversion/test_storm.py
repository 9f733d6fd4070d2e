from __future__ import annotations

import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.storm import LONGEST, PLAIN, Event, Storm
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    from tests.fixtures.database import Database

log = logging.getLogger(__name__)


def storm_over(database: Database, rows: int) -> Storm:
    """
    A plain table with so many rows, and its shadow.
    """
    with psycopg.connect(database.dsn) as connection:
        for statement in PLAIN.format(rows=rows).split(";"):
            if statement.strip():
                connection.execute(statement)  # type: ignore[call-overload]
    return Storm(database.dsn, rows)


def there_and_back(database: Database, storm: Storm, *, for_good: bool) -> None:
    """
    Convert and undo with everybody writing on; and then convert and finish, if for good.
    """
    engine = database.engine()
    with engine.connect() as connection, storm.blowing():
        time.sleep(0.3)
        for back in (True, False) if for_good else (True,):
            done = convert(connection, Event)
            assert done.outcome == "converted", done
            assert done.longest_wait < storm.allowed, done
            assert done.rows > storm.rows * 0.5
            assert storm.errors == []
            time.sleep(0.3)
            if back:
                undone = undo_conversion(connection, Event)
                assert undone.outcome == "undone", undone
                assert undone.longest_wait < storm.allowed, undone
                time.sleep(0.3)
                for each in (done, undone):
                    log.info("%s, in %.0f s", each, each.seconds)
        if for_good:
            finish_conversion(connection, Event)
        time.sleep(0.3)
    log.info(
        "%d transactions, the longest took %.3f s, a bystander's %.3f s; %d reads",
        *(storm.done, storm.longest, storm.bystander.longest, storm.read),
    )
    assert storm.errors == []
    assert storm.longest < storm.allowed
    assert storm.done > 0 < storm.read
    table, shadow = storm.checksums()
    assert table == shadow
    with engine.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT relkind, (SELECT count(*) FROM pg_class WHERE relname LIKE '%%partitions_%%'"
            " AND relkind IN ('r', 'p') AND relname LIKE 'event%%') FROM pg_class"
            " WHERE relname = 'event'"
        ).one() == ("p" if for_good else "r", 0)


@pytest.mark.slow
def test_nothing_is_lost_under_load(database: Database) -> None:
    """
    Eight writers and two readers see a table that is converted, undone, converted and finished.
    """
    there_and_back(database, storm_over(database, 20_000), for_good=True)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.timeout(1800)
def test_two_million_rows_under_load(database: Database, request: pytest.FixtureRequest) -> None:
    """
    Two million rows, converted and rolled back, which takes minutes.
    """
    if not (os.environ.get("PGULTRA_TEST_SLOW") or request.config.getoption("--require-all")):
        pytest.skip("takes minutes: set PGULTRA_TEST_SLOW=1 or give --require-all")
    there_and_back(database, storm_over(database, 2_000_000), for_good=False)


@pytest.mark.slow
def test_busy_readers_of_a_view_do_not_keep_the_exchange_waiting(database: Database) -> None:
    """
    They read without a pause, and hold the view while they wait for the table.
    """
    storm_over(database, 2000)
    engine, stop = database.engine(), threading.Event()
    with psycopg.connect(database.dsn) as connection:
        connection.execute("CREATE VIEW seen AS SELECT id, kind FROM event")

    def read() -> int:
        count = 0
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("SELECT count(*) FROM seen WHERE id < 100").fetchall()
                count += 1
        return count

    with ThreadPoolExecutor(4) as pool, bystander(database.dsn) as someone:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            with engine.connect() as connection:
                done = convert(connection, Event, patience=30)
                undone = undo_conversion(connection, Event, patience=30)
        finally:
            stop.set()
        assert min(reader.result() for reader in readers) > 10
    assert max(done.given_way, undone.given_way) < 10
    assert max(done.longest_wait, undone.longest_wait) < LONGEST + someone.longest
