"""
Tables to keep up, and a clock that is set by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra import declare
from pgultra.features import partitions
from pgultra.features.partitions import ByRange

if TYPE_CHECKING:
    from collections.abc import Sequence

MOMENT = datetime(2026, 3, 15, 12, tzinfo=UTC)
"""What the tests take for the present."""

PARTMAN_TYPE = """(
    SELECT CASE WHEN extversion < '5' THEN 'native' ELSE 'range' END
    FROM pg_extension WHERE extname = 'pg_partman'
)"""
"""What pg_partman calls declarative partitions; before 5 it made others too, and must be told."""

LOOK_ALIKES = """
CREATE TABLE event_2020_01 (id int);
CREATE TABLE orders_2020_01 (id int);
CREATE TABLE event_2026_04_backup (id int);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.event_2020_01 (id int);
CREATE TABLE event_2019 (at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE event_2019_01 PARTITION OF event_2019 FOR VALUES FROM ('2019-01-01') TO ('2019-02-01');
COMMENT ON TABLE orders_2020_01 IS 'like event_2020_01, pgultra:default:partitions is not ours';
INSERT INTO event_2020_01 VALUES (1);
INSERT INTO elsewhere.event_2020_01 VALUES (1);
"""
STRANGERS = [
    "elsewhere.event_2020_01",
    "public.event_2019",
    "public.event_2019_01",
    "public.event_2020_01",
    "public.event_2026_04_backup",
    "public.orders_2020_01",
]


def event_table(
    metadata: sa.MetaData | None = None,
    name: str = "event",
    schema: str | None = None,
    **rules: Any,
) -> sa.Table:
    """
    A table of events by month, as declared with ByRange.
    """
    table = sa.Table(
        name,
        sa.MetaData() if metadata is None else metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("note", sa.Text),
        schema=schema,
    )
    declare(table, ByRange("at", **{"every": "1 month", "premake": 1, **rules}))
    return table


def made(engine: sa.Engine, table: sa.Table, now: datetime = MOMENT) -> sa.Table:
    """
    Make a table, and the partitions that a moment wants, and no others.
    """
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        for name in children(connection, table.name):
            connection.exec_driver_sql(f"DROP TABLE {name}")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=now)
    assert done.complete, str(done)
    return table


def children(connection: sa.Connection, table: str) -> list[str]:
    """
    The partitions right below a table, quoted.
    """
    found: Sequence[str] = (
        connection.execute(
            sa.text(
                "SELECT i.inhrelid::regclass::text FROM pg_inherits AS i "
                "JOIN pg_class AS c ON c.oid = i.inhparent WHERE c.relname = :table "
                "AND NOT i.inhdetachpending ORDER BY 1"
            ),
            {"table": table},
        )
        .scalars()
        .all()
    )
    return list(found)


def tables(connection: sa.Connection) -> set[str]:
    """
    All tables of the database with their schemas.
    """
    return set(
        connection.execute(
            sa.text(
                "SELECT schemaname || '.' || tablename FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') "
                "UNION SELECT n.nspname || '.' || c.relname FROM pg_class AS c "
                "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'p'"
            )
        )
        .scalars()
        .all()
    )


def fill(connection: sa.Connection, table: str, number: int, start: str, step: str) -> None:
    """
    Put rows into a table, one step after the other from a start on.
    """
    connection.exec_driver_sql(
        f"INSERT INTO {table} (id, at, note) SELECT g, timestamptz '{start}' "
        f"+ g * interval '{step}', 'note ' || g FROM generate_series(0, {number - 1}) AS g"
    )
