"""
Conversion: the rows of a big table brought over, against one INSERT … SELECT of all of them.
"""

from __future__ import annotations

import time
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

import sqlalchemy as sa

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure
from pgultra import declare
from pgultra.features import partitions
from pgultra.features.partitions import ByRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server

ROWS = 1_000_000
PLAIN = """
CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, note text);
CREATE INDEX event_at ON event (at);
INSERT INTO event SELECT g, timestamptz '2025-01-01 00:00+00' + g * interval '1 year' / {rows},
    'kind ' || mod(g, 10), 'a note that is neither short nor long, number ' || g
FROM generate_series(1, {rows}) AS g;
VACUUM ANALYZE event
"""
BY_HAND = """
CREATE TABLE by_hand (id bigint, at timestamptz NOT NULL, kind text NOT NULL, note text,
    PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE INDEX ON by_hand (at)
"""
MONTH = """
CREATE TABLE by_hand_{number} PARTITION OF by_hand
FOR VALUES FROM ('{begin} 00:00+00') TO ('{end} 00:00+00')
"""


def figures(server: Server) -> Iterator[Figure]:
    """
    The room's row about conversion.
    """
    with database(server, "partitions_convert") as engine:
        yield backfill(engine)


def event_table() -> sa.Table:
    """
    What the plain table shall be.
    """
    table = sa.Table(
        "event",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
    )
    declare(table, ByRange("at", every="1 month", premake=0))
    return table


def backfill(engine: sa.Engine, rows: int = ROWS, turns: int = 5) -> Figure:
    """
    The copying step, triggers in place, in pages that keep nobody waiting; and the plain way.
    """
    table = event_table()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in PLAIN.format(rows=rows).split(";"):
            connection.exec_driver_sql(statement)
    times: dict[str, list[float]] = {"convert": [], "INSERT … SELECT": []}
    waited: list[float] = []
    for turn in range(turns + 1):
        sides = [_converted, _inserted] if turn % 2 else [_inserted, _converted]
        for side in sides:
            label, seconds, longest = side(engine, table)
            if turn:  # the first one fills the caches
                times[label].append(seconds)
                waited.append(longest)
    medians = {label: sorted(values)[len(values) // 2] for label, values in times.items()}
    return Figure(
        name="convert: backfill, as a share of the speed of one statement",
        ours="convert",
        theirs="INSERT … SELECT",
        seconds=medians,
        spread={label: (min(values), max(values)) for label, values in times.items()},
        ratio=medians["INSERT … SELECT"] / medians["convert"],
        rounds=turns,
        bar=Bar(">=", 0.4),
        note=f"{rows:,} rows; nobody would have waited for more than {max(waited):.2f} s",
    )


def _converted(engine: sa.Engine, table: sa.Table) -> tuple[str, float, float]:
    begun: dict[str, float] = {}

    def announce(step: str) -> None:
        begun[step] = time.perf_counter()

    with engine.connect() as connection:
        done = partitions.convert(connection, table, announce=announce)
        partitions.undo_conversion(connection, table)
    _settle(engine)
    return "convert", begun["compare"] - begun["copy"], done.longest_wait


def _inserted(engine: sa.Engine, table: sa.Table) -> tuple[str, float, float]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in BY_HAND.split(";"):
            connection.exec_driver_sql(statement)
        months = [date(2025 + number // 12, number % 12 + 1, 1) for number in range(14)]
        for number, (begin, end) in enumerate(pairwise(months)):
            connection.exec_driver_sql(MONTH.format(number=number, begin=begin, end=end))
        begun = time.perf_counter()
        connection.exec_driver_sql("INSERT INTO by_hand SELECT * FROM event")
        seconds = time.perf_counter() - begun
        connection.exec_driver_sql("DROP TABLE by_hand")
    _settle(engine)
    return "INSERT … SELECT", seconds, 0.0


def _settle(engine: sa.Engine) -> None:
    """
    What one side left to be written shall not be the other one's business.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
