from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features import partitions
from pgultra.features.partitions import ByHash
from tests.features.partitions.upkeep_stage import MOMENT, event_table, fill, made
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    from tests.fixtures.database import Database

VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = '{}'::regclass"
INDEXES = """
SELECT pg_get_indexdef(i.inhrelid) FROM pg_inherits AS i
WHERE i.inhparent = '{}'::regclass ORDER BY 1
"""


def valid(connection: sa.Connection, name: str) -> bool:
    """
    Whether an index is valid.
    """
    return bool(connection.exec_driver_sql(VALID.format(name)).scalar_one())


def test_an_index_on_only_the_parent_is_built_on_each_partition(engine: sa.Engine) -> None:
    """
    Concurrently, attached, with the parent's definition; then the parent's is valid.
    """
    table = made(engine, event_table(premake=2))
    with engine.begin() as connection:
        fill(connection, "event", 500, "2026-03-01 00:00+00", "2 hours")
        connection.exec_driver_sql(
            'CREATE INDEX "The Index" ON ONLY event USING btree (lower(note) DESC, at) '
            "INCLUDE (id) WITH (fillfactor = 70) WHERE note <> ' USING ON ONLY '"
        )
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata, now=MOMENT)
        assert [action.verb for action in told] == ["index"] * 3
        assert "CONCURRENTLY" in told.as_sql()
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert done.complete, str(done)
        assert valid(connection, '"The Index"')
        found = connection.exec_driver_sql(INDEXES.format('"The Index"')).scalars().all()
        assert len(found) == 3
        parent = connection.exec_driver_sql(
            "SELECT pg_get_indexdef('\"The Index\"'::regclass)"
        ).scalar_one()
        tail = parent.partition(" public.event ")[2]
        assert all(each.endswith(tail) for each in found)
        connection.rollback()
        assert not partitions.plan(connection, table.metadata, now=MOMENT)


def test_partitions_made_before_the_index_is_built_have_it(engine: sa.Engine) -> None:
    """
    A partition made in the same run, the others, and one that is taken away: valid at the end.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
    with engine.connect() as connection:
        now = datetime(2026, 5, 15, tzinfo=UTC)
        done = partitions.maintain(connection, table.metadata, now=now)
        assert done.complete, str(done)
        assert valid(connection, "event_note")


def test_a_parent_whose_last_partition_without_it_went_becomes_valid(engine: sa.Engine) -> None:
    """
    All that are left have the index, and nothing had asked the parent to look again.
    """
    table = made(engine, event_table())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
        connection.exec_driver_sql("CREATE INDEX mine ON event_2026_03 (note)")
        connection.exec_driver_sql("ALTER INDEX event_note ATTACH PARTITION mine")
        connection.exec_driver_sql("DROP TABLE event_2026_04")
        assert not valid(connection, "event_note")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert done.complete, str(done)
        version = connection.dialect.server_version_info
        assert valid(connection, "event_note"), version


def test_unique_constraints_and_levels(engine: sa.Engine) -> None:
    """
    A constraint that was added ON ONLY, on a table of two levels.
    """
    table = made(engine, event_table(then=ByHash("id", modulus=2)))
    with engine.begin() as connection:
        fill(connection, "event", 50, "2026-03-01 00:00+00", "2 hours")
        connection.exec_driver_sql(
            "ALTER TABLE ONLY event ADD CONSTRAINT event_once UNIQUE (id, at, note)"
        )
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert done.complete, str(done)
        assert valid(connection, "event_once")
        assert valid(connection, "event_note")
        connection.rollback()
        assert not partitions.plan(connection, table.metadata, now=MOMENT)
        with pytest.raises(sa.exc.IntegrityError), connection.begin():
            connection.exec_driver_sql("INSERT INTO event SELECT * FROM event LIMIT 1")


def test_a_build_that_broke_off_is_begun_anew(engine: sa.Engine) -> None:
    """
    Duplicates break a unique build and leave an invalid index; without them it goes through.
    """
    table = made(engine, event_table(premake=0))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event DROP CONSTRAINT event_pkey")
        fill(connection, "event", 3, "2026-03-01 00:00+00", "0 hours")
        connection.exec_driver_sql("CREATE UNIQUE INDEX event_at ON ONLY event (at)")
    with engine.connect() as connection:
        for _ in range(2):
            done = partitions.maintain(connection, table.metadata, now=MOMENT)
            assert ["duplicated" in problem.error for problem in done.problems] == [True]
        invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        assert connection.exec_driver_sql(invalid).scalar_one() == 2  # the parent's, and that
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql("DELETE FROM event WHERE id > 0")
        assert partitions.maintain(connection, table.metadata, now=MOMENT).complete
        assert connection.exec_driver_sql(invalid).scalar_one() == 0


def test_writers_go_on_while_indexes_are_built(engine: sa.Engine, database: Database) -> None:
    """
    A writer that commits all the time during the build never waits for a second because of it.
    """
    table = made(engine, event_table(premake=0))
    with engine.begin() as connection:
        fill(connection, "event", 100_000, "2026-03-01 00:00+00", "20 seconds")
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
    stop = threading.Event()
    longest: list[float] = []

    def write() -> None:
        with engine.connect() as connection:
            number = 1_000_000
            while not stop.is_set():
                begun = datetime.now(UTC)
                with connection.begin():
                    connection.execute(
                        table.insert(), {"id": number, "at": MOMENT, "note": f"n{number}"}
                    )
                longest.append((datetime.now(UTC) - begun).total_seconds())
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with engine.connect() as connection, bystander(database.dsn) as someone:
            done = partitions.maintain(connection, table.metadata, now=MOMENT)
    finally:
        stop.set()
        writer.join()
    assert done.complete
    assert len(longest) > 10
    assert max(longest) < 1 + someone.longest


def test_somebody_elses_index_of_that_name_is_not_dropped(engine: sa.Engine) -> None:
    """
    The name we would use belongs to a valid index of another table: told as a problem.
    """
    table = made(engine, event_table(premake=0))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (n int)")
        connection.exec_driver_sql("CREATE INDEX event_2026_03_event_note ON other (n)")
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert ["already exists" in problem.error for problem in done.problems] == [True]
        found: Any = connection.exec_driver_sql(VALID.format("event_2026_03_event_note"))
        assert found.scalar_one()
