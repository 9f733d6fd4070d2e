from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.storm import Event
from tests.features.partitions.conversion.test_crash import leftovers, prepare, run, same, write
from tests.features.partitions.conversion.views import left_over, picture

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tests.fixtures.database import Database

STAGE = (
    "CREATE MATERIALIZED VIEW daily AS SELECT at::date AS day, count(*) AS n FROM event GROUP BY 1",
    "CREATE UNIQUE INDEX daily_key ON daily (day)",
    "CREATE STATISTICS daily_st ON day, n FROM daily",
    "COMMENT ON INDEX daily_key IS 'a key'",
    "GRANT SELECT ON daily TO PUBLIC",
    """CREATE MATERIALIZED VIEW monthly AS SELECT month, sum(n) AS n,
        (SELECT count(*) FROM event) AS whole
        FROM daily, date_trunc('month', day) AS month GROUP BY 1""",
    "CREATE INDEX monthly_idx ON monthly (n)",
    "CREATE VIEW above AS SELECT d.day, m.n FROM daily AS d JOIN monthly AS m ON m.month = d.day",
)
PLACES = [("public", "daily"), ("public", "monthly")]
SETTLING = [
    ("CREATE MATERIALIZED VIEW", 1),  # the rehearsal
    ("CREATE MATERIALIZED VIEW", 3),
    ("REFRESH", 1),
    ("ANALYZE public.daily", 1),
    ("public.daily OWNER TO", 1),
    ("public.daily RENAME TO", 1),
    ("CREATE OR REPLACE VIEW", 1),
    ("CREATE MATERIALIZED VIEW", 4),
    ("REFRESH", 2),
    ("public.monthly_partitions_new RENAME TO", 1),
    ("EXISTS public.monthly_partitions_old", 1),
    ("EXISTS public.daily_partitions_old", 1),
    ("pgultra_partitions_premake", 1),
]
BACK = [("undo", *place) for place in SETTLING[1:-1] if place[0] != "CREATE MATERIALIZED VIEW"]
BACK += [
    ("undo", "CREATE MATERIALIZED VIEW", 1),
    ("undo", "CREATE MATERIALIZED VIEW", 2),
    ("undo", "DROP TABLE", 1),
    ("finish", "DROP TABLE", 2),
]


def staged(database: Database) -> tuple[sa.Engine, Any]:
    """
    A table with views, one on the other; and what can be told of these.
    """
    engine = prepare(database)
    with engine.begin() as connection:
        for each in STAGE:
            connection.exec_driver_sql(each)
        return engine, picture(connection, PLACES)


def check(engine: sa.Engine, before: Any) -> None:
    """
    The views are what they were, are read and refreshed, show every row, and nothing is left over.
    """
    with engine.begin() as connection:
        assert picture(connection, PLACES) == before
        connection.exec_driver_sql("SET LOCAL search_path = public")
        assert left_over(connection) == []
        connection.exec_driver_sql("REFRESH MATERIALIZED VIEW CONCURRENTLY daily")
        connection.exec_driver_sql("REFRESH MATERIALIZED VIEW monthly")
        rows = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM event), (SELECT sum(n) FROM daily),"
            " (SELECT sum(n) FROM monthly), (SELECT max(whole) FROM monthly),"
            " (SELECT count(*) FROM above) = (SELECT count(*) FROM monthly JOIN daily ON day = month)"
        ).one()
        assert tuple(rows) == (rows[0],) * 4 + (True,)
    assert leftovers(engine) == []


def readable(engine: sa.Engine) -> None:
    """
    Whatever was killed, the views are there with their rows.
    """
    with engine.begin() as connection:
        for name in ("daily", "monthly", "above"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() > 10


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    ("way", "end", "fragment", "count"),
    [
        *(("copy", "on", *place) for place in SETTLING),
        *(("copy", "back", *place) for place in SETTLING[::2]),
        *(("attach", "on", *place) for place in SETTLING[1::2]),
    ],
)
def test_a_killed_converter_loses_no_view(
    database: Database, way: str, end: str, fragment: str, count: int
) -> None:
    """
    After kill -9 anywhere in the making of a view, the conversion goes on, or is undone.
    """
    engine, before = staged(database)
    assert run(database, "convert", fragment, count, way) == -signal.SIGKILL
    readable(engine)
    write(engine, 1)
    with engine.connect() as connection:
        begun = connection.exec_driver_sql("SELECT to_regclass('pgultra_partitions_journal')")
        begun = begun.scalar_one()
        connection.rollback()
        if end == "on":
            convert(connection, Event, way=way)
        elif begun:
            undo_conversion(connection, Event)
    write(engine, 2)
    assert same(engine)
    if end == "on":
        with engine.connect() as connection:
            finish_conversion(connection, Event)
    check(engine, before)
    assert same(engine)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(("verb", "fragment", "count"), BACK)
def test_a_killed_ending_loses_no_view(
    database: Database, verb: str, fragment: str, count: int
) -> None:
    """
    Undoing and finishing can be killed at any statement about a view, and are then done again.
    """
    engine, before = staged(database)
    with engine.connect() as connection:
        convert(connection, Event)
    write(engine, 1)
    assert run(database, verb, fragment, count) == -signal.SIGKILL
    readable(engine)
    write(engine, 2)
    with engine.connect() as connection:
        (undo_conversion if verb == "undo" else finish_conversion)(connection, Event)
    check(engine, before)
    assert same(engine)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("end", ["on", "back"])
@pytest.mark.parametrize("killed", [("REFRESH", 2), ("EXISTS public.daily_partitions_old", 1)])
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("public.monthly RENAME TO", 1),
        ("public.daily_partitions_old RENAME TO", 1),
        ("EXISTS public.monthly_partitions_new", 1),
        ("LOCK TABLE", 1),
        ("REFRESH", 1),
    ],
)
def test_killed_in_the_middle_and_killed_on_the_way_back(
    database: Database, killed: tuple[str, int], fragment: str, count: int, end: str
) -> None:
    """
    Views that were turned in part get their names back; killed in that too, both ways are open.
    """
    engine, before = staged(database)
    assert run(database, "convert", *killed) == -signal.SIGKILL
    write(engine, 1)
    code = run(database, "undo", fragment, count)
    readable(engine)
    none = fragment == "REFRESH" or (fragment, killed[0]) == ("public.monthly RENAME TO", "REFRESH")
    assert code == (0 if none else -signal.SIGKILL)
    if none:  # nothing is filled again, and what was not turned is not turned back
        check(engine, before)
        return
    write(engine, 2)
    with engine.connect() as connection:
        if end == "on":
            convert(connection, Event)
            finish_conversion(connection, Event)
        else:
            undo_conversion(connection, Event)
    check(engine, before)
    assert same(engine)
