from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.storm import Event
from tests.features.partitions.conversion.test_crash import leftovers, run, same
from tests.features.partitions.conversion.test_storm import storm_over, there_and_back

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

TIES = """
ALTER TABLE event ADD CONSTRAINT event_id_at_key UNIQUE (id, at)
ALTER TABLE event ADD CONSTRAINT event_self FOREIGN KEY (amount, at) REFERENCES event (id, at)
COMMENT ON CONSTRAINT event_self ON event IS 'itself'
CREATE TABLE reply (number bigint NOT NULL, event bigint, at timestamptz) PARTITION BY HASH (number)
CREATE TABLE reply_0 PARTITION OF reply FOR VALUES WITH (MODULUS 2, REMAINDER 0)
CREATE TABLE reply_1 PARTITION OF reply FOR VALUES WITH (MODULUS 2, REMAINDER 1)
INSERT INTO reply SELECT id, id, at FROM event
ALTER TABLE reply ADD CONSTRAINT reply_event FOREIGN KEY (event, at) REFERENCES event (id, at) ON UPDATE CASCADE ON DELETE CASCADE
"""
KEYS = (
    "SELECT conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')"
    " FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 ORDER BY 1"
)
COUNTS = "SELECT (SELECT count(*) FROM reply), (SELECT count(*) FROM event WHERE id <= 2000)"
GATHERED = "IN SHARE ROW EXCLUSIVE MODE"


def prepare(database: Database) -> sa.Engine:
    """
    A table that refers to itself, and a partitioned one that refers to it.
    """
    storm_over(database, 2000)
    engine = database.engine()
    with engine.begin() as connection:
        for statement in TIES.strip().splitlines():
            connection.exec_driver_sql(statement)
    return engine


def keys(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """
    The foreign keys, each once.
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(KEYS)]


def write(engine: sa.Engine, step: int) -> None:
    """
    What somebody does while no converter is there; what refers goes along, and nothing is lost.
    """
    with engine.begin() as connection:
        for table in ("event", "shadow"):
            for statement in (
                f"DELETE FROM {table} WHERE id % 97 = {step}",
                f"UPDATE {table} SET at = at + interval '40 days' WHERE id % 89 = {step}",
                f"INSERT INTO {table} SELECT g, '2026-05-05Z', 'new', g FROM generate_series({step}0000, {step}0050) g",
            ):
                connection.exec_driver_sql(statement.replace("%", "%%"))
    assert same(engine)
    with engine.connect() as connection:
        replies, events = connection.exec_driver_sql(COUNTS).one()
    assert replies == events


def killed(database: Database, server: Server, verb: str, fragment: str, count: int) -> None:
    """
    A converter that is killed; some statements are only sent before PostgreSQL 18.
    """
    if fragment == GATHERED and server.version >= 18:
        pytest.skip("PostgreSQL 18 takes NOT VALID, and nothing is gathered")
    assert run(database, verb, fragment, count) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("RENAME TO", 5),
        ("VALIDATE CONSTRAINT", 1),
        ("VALIDATE CONSTRAINT", 2),
        (GATHERED, 1),
        (GATHERED, 2),
        ("pgultra_partitions_premake", 1),
    ],
)
def test_a_kill_before_all_is_checked(
    database: Database, server: Server, fragment: str, count: int, back: bool
) -> None:
    """
    Killed between the exchange and the end of the checks, it goes on, or back, and is whole.
    """
    engine = prepare(database)
    before = keys(engine)
    killed(database, server, "convert", fragment, count)
    write(engine, 1)
    with engine.connect() as connection:
        if back:
            assert undo_conversion(connection, Event).outcome == "undone"
        else:
            assert convert(connection, Event, resume=True).outcome == "converted"
            assert keys(engine) == before
            finish_conversion(connection, Event)
    write(engine, 2)
    assert keys(engine) == before
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("LOCK TABLE", 1),
        ("RENAME TO", 3),
        ("VALIDATE CONSTRAINT", 1),
        (GATHERED, 1),
        ("DROP TABLE", 1),
    ],
)
def test_a_killed_way_back_is_gone_again(
    database: Database, server: Server, fragment: str, count: int, settled: bool
) -> None:
    """
    Undoing can be killed, too, of a conversion that was settled or not; and is done again.
    """
    engine = prepare(database)
    before = keys(engine)
    if settled:
        with engine.connect() as connection:
            convert(connection, Event)
    else:
        assert run(database, "convert", "VALIDATE CONSTRAINT", 2) == -signal.SIGKILL
    write(engine, 1)
    killed(database, server, "undo", fragment, count)
    write(engine, 2)
    with engine.connect() as connection:
        assert undo_conversion(connection, Event).outcome == "undone"
    write(engine, 3)
    assert keys(engine) == before
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.parametrize("fragment", ["RENAME TO", "VALIDATE CONSTRAINT", GATHERED])
def test_a_killed_attachment(database: Database, server: Server, fragment: str) -> None:
    """
    The way without a copy goes on, too.
    """
    engine = prepare(database)
    before = keys(engine)
    if fragment == GATHERED and server.version >= 18:
        pytest.skip("PostgreSQL 18 takes NOT VALID, and nothing is gathered")
    assert run(database, "convert", fragment, 2, "attach") == -signal.SIGKILL
    write(engine, 1)
    with engine.connect() as connection:
        convert(connection, Event, way="attach")
        finish_conversion(connection, Event)
    write(engine, 2)
    assert keys(engine) == before
    assert leftovers(engine) == []


@pytest.mark.once
@pytest.mark.slow
def test_nobody_waits_for_foreign_keys(database: Database) -> None:
    """
    Under load, what refers to the table is turned to the new one and back; nobody waits for long.
    """
    storm = storm_over(database, 5_000)
    engine = database.engine()
    with engine.begin() as connection:
        for statement in TIES.replace("(amount, at)", "(id, at)").strip().splitlines():
            connection.exec_driver_sql(statement)
    before = keys(engine)
    there_and_back(database, storm, for_good=True)
    assert keys(engine) == before
    with engine.connect() as connection:
        lost = (
            "SELECT count(*) FROM reply AS r LEFT JOIN event AS e ON e.id = r.event AND e.at = r.at"
        )
        lost += " WHERE e.id IS NULL"
        assert connection.exec_driver_sql(lost).scalar_one() == 0
