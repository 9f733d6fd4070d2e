"""
Upkeep: a month that goes, and a run that has nothing to do.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra import declare
from pgultra.features import partitions
from pgultra.features.partitions import ByRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server

ROWS = 1_000_000
TABLES, CHILDREN = 10, 120
PRESENT = datetime(2026, 3, 15, tzinfo=UTC)
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
SELECT timestamptz '2025-01-01 00:00+00' + g * interval '2 seconds', 'event ' || mod(g, 20),
    mod(g, 5000), jsonb_build_object('path', '/a/path/' || g, 'width', 1280 + mod(g, 900),
    'referrer', 'https://example.org/' || mod(g, 300), 'agent', 'Mozilla/5.0 (X11; Linux x86_64)')
FROM generate_series(1, {rows}) AS g
"""


def figures(server: Server) -> Iterator[Figure]:
    """
    The room's rows about upkeep.
    """
    for how in ("detach", "drop"):
        with database(server, f"partitions_{how}") as engine:
            yield month(engine, how=how)
    with database(server, "partitions_idle") as engine:
        yield _idle(engine)


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


def month(engine: sa.Engine, rows: int = ROWS, turns: int = 5, how: str = "drop") -> Figure:
    """
    ``maintain`` with on_expire= against DELETE and VACUUM of the same rows.

    With "drop" most of the time goes to the file system, which frees the files: as much as for
    statements written by hand, which are measured too.
    """
    ours = _events(sa.MetaData(), "event")
    declare(ours, ByRange("at", every="1 month", premake=0, retain="40 days", on_expire=how))
    plain = _events(sa.MetaData(), "plain", index=True)  # or nothing finds the old rows
    january, march = datetime(2025, 1, 10, tzinfo=UTC), datetime(2025, 3, 3, tzinfo=UTC)
    with engine.begin() as connection:
        ours.metadata.create_all(connection)
        plain.metadata.create_all(connection)
        connection.exec_driver_sql(  # a row that stays, as there always is one
            "INSERT INTO plain (at, name, user_id, properties) VALUES (now(), 'stays', 1, '{}')"
        )
    times: dict[str, list[float]] = {"maintain": [], "DELETE and VACUUM": [], "by hand": []}
    for _ in range(turns):
        with engine.connect() as connection:
            partitions.maintain(connection, ours.metadata, now=january)
            with connection.begin():
                connection.exec_driver_sql("CREATE TABLE by_hand (LIKE plain INCLUDING ALL)")
                for name in ("event", "plain", "by_hand"):
                    connection.exec_driver_sql(FILL.format(table=name, rows=rows))
            partitions.maintain(connection, ours.metadata, now=march)  # the month's first run
        with engine.connect() as connection:
            begun = time.perf_counter()
            done = partitions.maintain(connection, ours.metadata, now=march + timedelta(days=11))
            times["maintain"].append(time.perf_counter() - begun)
            assert [action.verb for action in done.done] == [how]
        autocommit = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with autocommit as connection:
            begun = time.perf_counter()
            connection.exec_driver_sql("DELETE FROM plain WHERE at < '2025-02-01 00:00+00'")
            connection.exec_driver_sql("VACUUM plain")
            times["DELETE and VACUUM"].append(time.perf_counter() - begun)
            begun = time.perf_counter()
            connection.exec_driver_sql("DROP TABLE by_hand")
            times["by hand"].append(time.perf_counter() - begun)
            connection.exec_driver_sql("DROP TABLE IF EXISTS event_2025_01")
            for name in _children(connection, "event"):
                connection.exec_driver_sql(f"DROP TABLE {name}")
    by_hand = times.pop("by hand")
    medians = {label: sorted(values)[len(values) // 2] for label, values in times.items()}
    return Figure(
        name=f"removing a month of a million rows: {how}",
        ours="maintain",
        theirs="DELETE and VACUUM",
        seconds=medians,
        spread={label: (min(values), max(values)) for label, values in times.items()},
        ratio=medians["DELETE and VACUUM"] / medians["maintain"],
        rounds=turns,
        bar=Bar(">=", 50),
        note=f"times faster; a bare DROP TABLE of these rows took {min(by_hand) * 1000:.0f} to "
        f"{max(by_hand) * 1000:.0f} ms",
    )


def _children(connection: sa.Connection, table: str) -> list[str]:
    found = connection.exec_driver_sql(
        f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass"
    )
    return list(found.scalars())


def _idle(engine: sa.Engine) -> Figure:
    """
    ``maintain`` with nothing to do, 10 tables of 120 partitions, against one catalog query.
    """
    metadata = sa.MetaData()
    for number in range(TABLES):
        _table(
            metadata,
            f"event_{number}",
            premake=3,
            start=PRESENT - timedelta(days=30.44 * (CHILDREN - 4)),
            retain="12 years",
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
            f"maintain with nothing to do, {TABLES} tables x {CHILDREN} partitions",
            ours=("maintain", ours),
            theirs=("one catalog query", theirs),
            rounds=15,
        )
    more = (figure.seconds["maintain"] - figure.seconds["one catalog query"]) * 1000
    figure.name += ", milliseconds more"
    figure.ratio, figure.bar = more, Bar("<=", 100)
    return figure
