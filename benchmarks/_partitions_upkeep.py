"""
Upkeep: a month that goes, and a run that has nothing to do.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from benchmarks._cold import forget
from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra import declare, plan
from pgultra.features import partitions
from pgultra.features.partitions import ByRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server

ROWS = 1_000_000
TABLES, CHILDREN = 10, 120
CATALOG = """
SELECT i.inhparent, c.oid, n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid),
    i.inhdetachpending, obj_description(c.oid, 'pg_class')
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.inhparent::regclass::text LIKE 'event_%' AND c.relispartition
"""
FILL = """
INSERT INTO {table} (at, name, user_id, properties)
SELECT timestamptz '{begin} 00:00+00' + g * interval '28 days' / {rows},
    'event ' || mod(g, 20), mod(g, 5000),
    jsonb_build_object('path', '/a/path/' || g, 'width', 1280 + mod(g, 900), 'referrer',
    'https://example.org/' || mod(g, 300), 'agent', 'Mozilla/5.0 (X11; Linux x86_64)')
FROM generate_series(1, {rows}) AS g
"""


def figures(server: Server) -> Iterator[Figure]:
    """
    The room's rows about upkeep.
    """
    with database(server, "partitions_month") as engine:
        yield from months(engine)
    with database(server, "partitions_idle") as engine:
        yield idle(engine)


def _table(metadata: sa.MetaData, name: str, **rules: Any) -> sa.Table:
    table = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("note", sa.Text),
    )
    declare(table, ByRange("at", every="1 month", **rules))
    return table


def _events(metadata: sa.MetaData, name: str, **columns: Any) -> sa.Table:
    """
    Events as applications keep them: a uuid, a name, a user, and some JSON.
    """
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True, **columns),
        sa.Column("name", sa.Text, nullable=False, index=True),
        sa.Column("user_id", sa.BigInteger, nullable=False, index=True),
        sa.Column("properties", JSONB, nullable=False),
    )


def months(engine: sa.Engine, rows: int = ROWS, turns: int = 3) -> Iterator[Figure]:
    """
    ``maintain`` against DELETE and VACUUM of the same rows, from tables that keep a year.

    "detach" is the default. With "drop" much of the time goes to the system, which frees the
    files: how long that takes for a DROP TABLE written by hand is measured too. What was read of
    them lately it must take out of its memory first. Nobody reads a month that goes after a
    year; with "drop, just read" it is in memory, as all is that DELETE and VACUUM read.
    """
    event, plain = _year(engine, rows)
    autocommit = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    ways = {"detach": "detach", "drop": "drop", "drop, just read": "drop"}
    times: dict[str, list[list[float]]] = {way: [] for way in ways}
    states: dict[str, bool] = {}
    with engine.connect() as connection, autocommit as by_hand:
        for number in range(len(ways) * turns):
            way = list(ways)[number % len(ways)]
            declared = event(ways[way])
            begin, end = date(2025, 1 + number, 1), date(2025, 2 + number, 1)
            later = datetime(2026, 2 + number, 2, tzinfo=UTC)
            plan.apply(plan.check(connection, declared), connection)  # the rule goes with it
            connection.commit()
            partitions.maintain(connection, declared, now=later)  # the month's first run
            later += timedelta(days=20)
            [planned] = partitions.plan(connection, declared, now=later).actions
            cold = way == "drop" and forget(by_hand, planned.child)
            states[way] = cold
            begun = time.perf_counter()
            done = partitions.maintain(connection, declared, now=later)
            ours = time.perf_counter() - begun
            assert [action.verb for action in done.done] == [ways[way]]
            begun = time.perf_counter()
            by_hand.exec_driver_sql(f"DELETE FROM {plain} WHERE at < '{end} 00:00+00'")
            by_hand.exec_driver_sql(f"VACUUM {plain}")
            theirs = time.perf_counter() - begun
            by_hand.exec_driver_sql(f"CREATE TABLE by_hand (LIKE {plain} INCLUDING ALL)")
            by_hand.exec_driver_sql(FILL.format(table="by_hand", begin=begin, rows=rows))
            by_hand.exec_driver_sql("CHECKPOINT")
            if cold:
                forget(by_hand, "by_hand")
            begun = time.perf_counter()
            by_hand.exec_driver_sql("DROP TABLE by_hand")
            times[way].append([ours, theirs, time.perf_counter() - begun])
    for way, taken in times.items():
        ours, theirs, bare = (sorted(side) for side in zip(*taken, strict=True))
        sides = {"maintain": ours, "DELETE and VACUUM": theirs}
        medians = {label: statistics.median(values) for label, values in sides.items()}
        yield Figure(
            name=f"removing a month of a million rows from a year of them: {way}",
            ours="maintain",
            theirs="DELETE and VACUUM",
            seconds=medians,
            spread={label: (values[0], values[-1]) for label, values in sides.items()},
            ratio=medians["DELETE and VACUUM"] / medians["maintain"],
            rounds=turns,
            bar=Bar(">=", 50) if way in {"detach", "drop"} else None,
            note=f"times faster; the month was {'on disk' if states[way] else 'in memory'}; a bare "
            f"DROP TABLE of these rows took {bare[0] * 1000:.0f} to {bare[-1] * 1000:.0f} ms",
        )


def _year(engine: sa.Engine, rows: int) -> tuple[Callable[[str], sa.MetaData], str]:
    """
    Twelve months of so many rows, partitioned and not; how expired ones go can be chosen.
    """

    def event(how: Any, retain: str | None = "375 days") -> sa.MetaData:
        table = _events(sa.MetaData(), "event")
        start = datetime(2025, 1, 1, tzinfo=UTC)
        declare(
            table,
            ByRange("at", every="1 month", premake=0, start=start, retain=retain, on_expire=how),
        )
        return table.metadata

    plain = _events(sa.MetaData(), "plain", index=True)  # or nothing finds the old rows
    with engine.begin() as connection:
        made = event("detach", retain=None)
        made.create_all(connection)
    with engine.connect() as connection:
        partitions.maintain(connection, made, now=datetime(2025, 12, 31, tzinfo=UTC))
    with engine.begin() as connection:
        later, plain.indexes = plain.indexes, set()
        plain.create(connection)
        for number in range(1, 13):
            for table in ("event", "plain"):
                begin = date(2025, number, 1)
                connection.exec_driver_sql(FILL.format(table=table, begin=begin, rows=rows))
        for index in later:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")
    return event, "plain"


def idle(engine: sa.Engine, children: int = CHILDREN) -> Figure:
    """
    ``maintain`` with nothing to do, 10 tables, against one catalog query.
    """
    present = datetime.now(UTC)  # which is what create_all goes by
    metadata = sa.MetaData()
    for number in range(TABLES):
        _table(
            metadata,
            f"event_{number}",
            premake=3,
            start=present - timedelta(days=30.44 * (children - 4)),
            retain="40 years",
        )
    for table in metadata.sorted_tables:  # locks of 1,200 tables at once would be too many
        with engine.begin() as connection:
            metadata.create_all(connection, tables=[table])
    with engine.connect() as connection:
        done = partitions.maintain(connection, metadata)
        assert not done.problems, str(done)

        def ours() -> None:
            done = partitions.maintain(connection, metadata)
            assert not done.done

        def theirs() -> None:
            with connection.begin():
                connection.exec_driver_sql(CATALOG.replace("%", "%%")).all()

        figure = compare(
            f"maintain with nothing to do, {TABLES} tables x {children} partitions",
            ours=("maintain", ours),
            theirs=("one catalog query", theirs),
            rounds=15,
        )
    more = (figure.seconds["maintain"] - figure.seconds["one catalog query"]) * 1000
    figure.name += ", milliseconds more"
    figure.ratio, figure.bar = more, Bar("<=", 100)
    return figure
