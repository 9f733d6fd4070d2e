from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.features.partitions import ByRange, convert
from pgultra.features.partitions.conversion.patience import Overdue, Patience
from pgultra.plan import declare

if TYPE_CHECKING:
    from tests.fixtures.database import Database

ROWS, PAGE = 4_000, 100
FILL = f"""
INSERT INTO "Event" SELECT g, '2026-03-20Z'::timestamptz + g * interval '1 hour', 'note ' || g
FROM generate_series(1, {ROWS}) AS g
"""
READ = """
SELECT sum(seq_tup_read) FROM pg_stat_user_tables AS s
JOIN pg_inherits AS i ON i.inhrelid = s.relid
"""


def event(first: str) -> sa.Table:
    """
    Events; the partitioned table's key begins with the one column or with the other.
    """
    key = {
        "id": sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        "at": sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    }
    columns = [key.pop(first), *key.values(), sa.Column("note", sa.Text)]
    found = sa.Table("Event", sa.MetaData(), *columns)
    declare(found, ByRange("at", every="1 month"))
    return found


@pytest.mark.parametrize("first", ["id", "at"])
def test_a_page_costs_the_same_however_much_is_copied(database: Database, first: str) -> None:
    """
    No page reads the copy from end to end to see whether its rows are there already.
    """
    engine = database.engine()
    read: list[int] = []
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE "Event" (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text)'
        )
        connection.exec_driver_sql(FILL)

    with engine.connect() as connection:

        def look(step: str) -> None:
            if step == "compare":  # what comes after the copy
                connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
                connection.commit()
                read.append(int(connection.exec_driver_sql(READ).scalar_one()))
                connection.commit()

        done = convert(connection, event(first), batch=PAGE, announce=look)
    assert done.rows == ROWS
    assert read == [0]


CHECK = """
CREATE OR REPLACE FUNCTION slow(note text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({seconds}); RETURN true; END $$
"""


@pytest.mark.slow
@pytest.mark.parametrize("batch", [None, 300])
def test_a_page_that_takes_long_is_taken_back(database: Database, batch: int | None) -> None:
    """
    And tried again in smaller ones, for writers wait for its rows; a batch that is given stays.
    """
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE "Event" (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text)'
        )
        connection.exec_driver_sql(FILL)
        connection.exec_driver_sql('DELETE FROM "Event" WHERE id > 300')
        connection.exec_driver_sql(CHECK.format(seconds=0))
        connection.exec_driver_sql('ALTER TABLE "Event" ADD CONSTRAINT slow CHECK (slow(note))')
        connection.exec_driver_sql(CHECK.format(seconds=0.01))
    reached = [0]
    with engine.connect() as connection:
        done = convert(
            connection, event("id"), batch=batch, progress=lambda rows, _: reached.append(rows)
        )
    assert done.rows == reached[-1] == 300
    pages = [high - low for low, high in pairwise(reached)]
    assert max(pages) == 300 if batch else max(pages) <= 50, pages  # 50 take half a second


def test_a_limit_is_not_somebodys_cancelling(database: Database) -> None:
    """
    A statement over its limit is taken back; what somebody cancels is cancelled.
    """
    engine, over = database.engine(), Event()
    with engine.connect() as connection, ThreadPoolExecutor(1) as pool:
        patience = Patience(connection)
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        connection.commit()

        def half_done(limit: float) -> None:
            with patience.transaction(safe=False, limit=limit):
                connection.exec_driver_sql("CREATE TABLE half_done (id int)")
                connection.exec_driver_sql("SELECT pg_sleep(10)")

        def cancel() -> None:
            with engine.connect() as other:
                while not over.wait(0.05):
                    other.exec_driver_sql(
                        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                        f" WHERE pid = {pid} AND query LIKE '%%pg_sleep%%' AND state = 'active'"
                    )

        with pytest.raises(Overdue):
            patience.until_it_works(partial(half_done, 0.1))
        assert patience.given_way == 0  # nobody was in the way
        cancelling = pool.submit(cancel)
        try:
            with pytest.raises(sa.exc.OperationalError, match="canceling statement"):
                half_done(30)
        finally:
            over.set()
        cancelling.result()
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
        assert not sa.inspect(connection).has_table("half_done")
