"""
Rows that leave a default partition: who must not hear of it, and what stays when it fails.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import ByHash, PgultraError, declare
from pgultra.features import partitions
from tests.features.partitions.upkeep_stage import children, event_table, made

if TYPE_CHECKING:
    from tests.fixtures.database import Database

JANUARY, JUNE = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 6, 15, tzinfo=UTC)
OLD = "INSERT INTO event (id, at, note) VALUES (1, '2020-01-01', 'x')"
LEFT = """
SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%%pgultra_drain%%')
    + (SELECT count(*) FROM pg_proc WHERE proname LIKE '%%pgultra_drain%%')
    + (SELECT count(*) FROM pg_class WHERE relname = 'event_2020_01' AND NOT relispartition)
"""


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def number(engine: sa.Engine, query: str) -> int:
    """
    One number out of the database.
    """
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def of_an_author() -> tuple[sa.MetaData, sa.Table]:
    """
    Events that refer to a table which is partitioned itself.
    """
    metadata = sa.MetaData()
    author = sa.Table("Author", metadata, sa.Column("id", sa.Integer, primary_key=True))
    declare(author, ByHash("id", modulus=3))
    table = event_table(metadata, default=True)
    table.append_column(sa.Column("author_id", sa.ForeignKey(author.c.id)))
    return metadata, table


def test_rows_that_refer_to_a_partitioned_table_move(engine: sa.Engine) -> None:
    """
    By drain_default and by maintain; and the application goes on writing.
    """
    metadata, table = of_an_author()
    made(engine, table, JANUARY)
    run(
        engine,
        'INSERT INTO "Author" SELECT generate_series(1, 9)',
        "INSERT INTO event VALUES (1, '2020-01-01', 'x', 5), (2, '2026-06-01', 'x', 6)",
    )
    with engine.connect() as connection:
        (done,) = partitions.drain_default(connection, table, now=JANUARY)[:1]
        assert (done.child, done.rows) == ("public.event_2020_01", 1)
    run(engine, "INSERT INTO event VALUES (3, '2026-06-02', 'x', 7)")
    with engine.connect() as connection:
        assert partitions.maintain(connection, metadata, now=JUNE).complete
    run(engine, "INSERT INTO event VALUES (4, '2026-06-03', 'x', 8)")
    assert number(engine, "SELECT count(*) FROM event_2026_06") == 3
    with pytest.raises(sa.exc.IntegrityError):
        run(engine, "INSERT INTO event VALUES (5, '2026-06-03', 'x', 10)")


def test_rows_that_refer_to_rows_of_their_own_table_move(engine: sa.Engine) -> None:
    """
    A foreign key of the table to itself: nothing is lost, and ON DELETE CASCADE still holds.
    """
    table = event_table(default=True)
    table.append_column(sa.Column("pid", sa.BigInteger))
    table.append_column(sa.Column("pat", sa.DateTime(timezone=True)))
    table.append_constraint(
        sa.ForeignKeyConstraint(["pid", "pat"], ["event.id", "event.at"], ondelete="CASCADE")
    )
    table.metadata.create_all(engine)
    run(
        engine,
        OLD,
        "INSERT INTO event VALUES (2, '2020-02-01', 'x', 1, '2020-01-01'), "
        "(3, '2020-01-05', 'x', 2, '2020-02-01')",
    )
    with engine.connect() as connection:
        assert [each.rows for each in partitions.drain_default(connection, table)] == [2, 1]
    assert number(engine, "SELECT count(*) FROM event") == 3
    run(engine, "DELETE FROM event WHERE id = 1")
    assert number(engine, "SELECT count(*) FROM event") == 0


def test_a_drain_that_cannot_succeed_leaves_nothing(engine: sa.Engine) -> None:
    """
    A CHECK that old rows do not hold makes the copy fail; writers keep no trigger of ours.
    """
    table = event_table(default=True)
    table.metadata.create_all(engine)
    run(engine, OLD, "ALTER TABLE event ADD CHECK (note <> 'x') NOT VALID")
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        partitions.drain_default(connection, table)
    assert number(engine, LEFT) == 0
    run(engine, "INSERT INTO event VALUES (2, '2020-01-02', 'y')")
    assert number(engine, "SELECT count(*) FROM ONLY event_default") == 2


@pytest.mark.parametrize(
    "publication",
    ["TABLE event", "TABLE event_default", "TABLES IN SCHEMA public", "ALL TABLES"],
)
def test_published_rows_are_not_moved(engine: sa.Engine, publication: str) -> None:
    """
    Subscribers would hear of the DELETE alone: refused, whatever way the table is published.
    """
    table = event_table(default=True)
    table.metadata.create_all(engine)
    run(engine, OLD, f"CREATE PUBLICATION pub FOR {publication}")
    told = pytest.raises(PgultraError, match=r"event_default is published by pub")
    with engine.connect() as connection, told:
        partitions.drain_default(connection, table)
    assert number(engine, LEFT) == 0
    run(engine, "ALTER PUBLICATION pub SET (publish = 'update')")
    with engine.connect() as connection:
        assert len(partitions.drain_default(connection, table)) == 1


def test_maintain_tells_of_published_rows_and_goes_on(engine: sa.Engine) -> None:
    """
    The present month lies in the published default partition: a problem; the next one is made.
    """
    table = made(engine, event_table(default=True), JANUARY)
    run(
        engine,
        "INSERT INTO event VALUES (1, '2026-06-01', 'x')",
        "CREATE PUBLICATION pub FOR TABLE event WITH (publish_via_partition_root = true)",
    )
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=JUNE)
        assert "event_default is published by pub" in str(done.problems[0])
        assert "event_2026_07" in children(connection, "event")
    assert number(engine, "SELECT count(*) FROM event_default") == 1


def test_keys_of_floating_point_numbers_end(database: Database, engine: sa.Engine) -> None:
    """
    A key that prints rounded in this database is copied once, and the drain ends.
    """
    table = sa.Table(
        "event",
        sa.MetaData(),
        sa.Column("x", sa.Double, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    )
    declare(table, partitions.ByRange("at", every="1 month", default=True))
    table.metadata.create_all(engine)
    run(
        engine,
        "INSERT INTO event VALUES (0.1::float8 + 0.2::float8, '2020-01-01')",
        f'ALTER DATABASE "{database.name}" SET extra_float_digits = 0',
    )
    engine.dispose()
    batches: list[int] = []

    def count(name: str, rows: int) -> None:
        batches.append(rows)
        assert len(batches) < 5

    with engine.connect() as connection:
        (done,) = partitions.drain_default(connection, table, progress=count)
    assert done.rows == 1
