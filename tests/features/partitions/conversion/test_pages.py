from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.features.partitions import ByRange, convert
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
