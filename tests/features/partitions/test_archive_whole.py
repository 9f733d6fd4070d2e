"""
A file holds every row and every digit, whatever the session's settings are.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pgultra import ByRange, declare
from pgultra.features import partitions
from tests.features.partitions.upkeep_stage import event_table, made

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.database import Database

JANUARY, APRIL = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_rows_that_row_security_hides_are_not_left_out(
    engine: sa.Engine, owner: tuple[str, str], owner_engine: sa.Engine, tmp_path: Path
) -> None:
    """
    The owner may not see all: the partition is not archived, and stays with all its rows.
    """
    run(engine, f"GRANT ALL ON SCHEMA public TO {owner[0]}")
    table = made(owner_engine, event_table(retain="1 month", on_expire="archive"), JANUARY)
    run(
        owner_engine,
        "INSERT INTO event SELECT g, '2026-01-10', 'x' FROM generate_series(1, 10) AS g",
        "ALTER TABLE event_2026_01 ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE event_2026_01 FORCE ROW LEVEL SECURITY",
        "CREATE POLICY p ON event_2026_01 USING (id = 1)",
    )
    with owner_engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=APRIL, archive_to=tmp_path)
    assert "row-level security" in str(done.problems[0])
    assert [each.table for each in done.archived] == ["public.event_2026_02"]
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM event_2026_01")) == 10
    with engine.connect() as connection:  # a role that sees all does what is left
        done = partitions.maintain(connection, table.metadata, now=APRIL, archive_to=tmp_path)
    assert [(each.table, each.rows) for each in done.archived] == [("public.event_2026_01", 10)]


def test_numbers_texts_and_spans_are_printed_the_same_everywhere(
    database: Database, engine: sa.Engine, tmp_path: Path
) -> None:
    """
    All digits of a float, UTF-8, one style of intervals and bytes, in a session that differs.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        "Event",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("v", sa.Double),
        sa.Column("span", sa.Interval),
        sa.Column("raw", sa.LargeBinary),
        sa.Column("note", sa.Text),
    )
    declare(table, ByRange("at", every="1 month", retain="1 month", on_expire="archive"))
    made(engine, table, JANUARY)
    run(
        engine,
        "INSERT INTO \"Event\" VALUES (1, '2026-01-10', 0.1::float8 + 0.2::float8, "
        "'1 day 02:00', '\\x00ff', 'Grüße')",
        f'ALTER DATABASE "{database.name}" SET extra_float_digits = 0',
        f"ALTER DATABASE \"{database.name}\" SET intervalstyle = 'iso_8601'",
        f"ALTER DATABASE \"{database.name}\" SET bytea_output = 'escape'",
    )
    engine.dispose()
    other = sa.create_engine(engine.url, connect_args={"client_encoding": "latin1"})
    try:
        with other.connect() as connection:
            done = partitions.maintain(connection, metadata, now=APRIL, archive_to=tmp_path)
    finally:
        other.dispose()
    text = gzip.decompress((tmp_path / "public.Event_2026_01.tsv.gz").read_bytes()).decode("utf-8")
    assert text.rstrip("\n").split("\t")[2:] == [
        "0.30000000000000004",
        "1 day 02:00:00",
        r"\\x00ff",
        "Grüße",
    ]
    assert done.archived[0].rows == 1
