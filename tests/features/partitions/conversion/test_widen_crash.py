"""
Tables that refer to a table on its way: the converter is killed, and everybody writes on.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.storm import LONGEST, Event
from tests.features.partitions.conversion.test_crash import leftovers, run, same, write
from tests.features.partitions.conversion.test_storm import storm_over
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tests.fixtures.database import Database

log = logging.getLogger(__name__)
REMARK = """
CREATE TABLE remark (
    event_id bigint CONSTRAINT about REFERENCES event ON DELETE CASCADE, number int,
    CONSTRAINT remark_key PRIMARY KEY (event_id, number)
);
INSERT INTO remark SELECT id, n FROM event, generate_series(1, 3) AS n WHERE id % 3 = 0;
"""
WRITTEN = """
INSERT INTO remark SELECT id, {step} FROM event WHERE id % 7 = {seventh};
UPDATE remark SET event_id = event_id + 1 WHERE event_id % 3 = 0 AND number = 3
    AND event_id % 5 = {fifth} AND event_id + 1 IN (SELECT id FROM event)
"""
DESCRIBED = """
SELECT jsonb_agg(said ORDER BY said) FROM (
    SELECT attname || ' ' || attnotnull FROM pg_attribute
    WHERE attrelid = 'remark'::regclass AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) || convalidated
    FROM pg_constraint WHERE conrelid = 'remark'::regclass AND conparentid = 0 AND contype <> 'n'
    UNION ALL SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'remark'::regclass
    UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = 'remark'::regclass AND NOT tgisinternal
) AS t (said)
"""
AFTERWARDS = [
    (
        "about FOREIGN KEY (event_id, event_at) REFERENCES event(id, at) ON UPDATE CASCADE ON "
        "DELETE CASCADEtrue"
    ),
    "event_at true",
    "event_id true",
    "number true",
    "remark_key",
    "remark_key PRIMARY KEY (event_id, event_at, number)true",
]


def prepare(database: Database, rows: int) -> sa.Engine:
    """
    Events with remarks, whose foreign key and whose primary key lack the partition key.
    """
    storm_over(database, rows)
    with psycopg.connect(database.dsn) as connection:
        connection.execute(REMARK)
    return database.engine()


def described(engine: sa.Engine) -> list[str]:
    """
    All that the table of remarks has.
    """
    with engine.connect() as connection:
        found: list[str] = connection.exec_driver_sql(DESCRIBED).scalar_one()
    return found


def remark(engine: sa.Engine, step: int) -> None:
    """
    Somebody writes remarks, and knows nothing of the new column.
    """
    with engine.begin() as connection:
        for statement in WRITTEN.format(step=step, seventh=step % 7, fifth=step % 5).split(";"):
            connection.exec_driver_sql(statement.replace("%", "%%"))


def astray(engine: sa.Engine) -> int:
    """
    Remarks without their event.
    """
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM remark AS r WHERE NOT EXISTS (SELECT FROM event AS e "
            "WHERE e.id = r.event_id AND e.at = r.event_at)"
        )
        return int(found.scalar_one())


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("way", ["copy", "attach"])
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("ADD COLUMN IF NOT EXISTS", 1),
        ("_follow", 3),
        ("FOR NO KEY UPDATE OF r", 1),
        ("FOR NO KEY UPDATE OF r", 2),
        ("about_partitions_key", 1),
        ("RENAME TO", 2),
        ("VALIDATE CONSTRAINT about", 1),
    ],
)
def test_a_killed_converter_goes_on_or_back(
    database: Database, fragment: str, count: int, way: str, back: bool
) -> None:
    """
    Killed anywhere, remarks can be written, and have their events when it is done, or undone.
    """
    engine = prepare(database, 5000)
    before = described(engine)
    assert run(database, "convert", fragment, count, way) == -signal.SIGKILL
    write(engine, 1)
    remark(engine, 10)
    with engine.connect() as connection:
        there = connection.exec_driver_sql("SELECT relkind FROM pg_class WHERE relname = 'event'")
        exchanged = there.scalar_one() == "p"
        connection.rollback()
        if back and not (exchanged and way == "attach"):
            undo_conversion(connection, Event)
            assert described(engine) == before
        else:
            convert(connection, Event, way=way, batch=500)
            write(engine, 2)
            remark(engine, 11)
            finish_conversion(connection, Event)
            assert described(engine) == AFTERWARDS
            assert astray(engine) == 0
    assert same(engine)
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("DROP TABLE", 1),
        ("about_partitions_filled", 2),
        ("about_partitions_filled", 3),
        ("SET NOT NULL", 1),
        ("PRIMARY KEY USING INDEX", 1),
        ("DROP TABLE", 2),
    ],
)
def test_a_killed_end_is_repeated(database: Database, fragment: str, count: int) -> None:
    """
    The column becomes what the model says, however often the end is begun.
    """
    engine = prepare(database, 3000)
    with engine.connect() as connection:
        convert(connection, Event)
    assert run(database, "finish", fragment, count) == -signal.SIGKILL
    write(engine, 1)
    with engine.connect() as connection:
        finish_conversion(connection, Event)
    assert described(engine) == AFTERWARDS
    assert astray(engine) == 0
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.once
def test_everybody_writes_on(database: Database) -> None:
    """
    Remarks come, events move and go while the column is made and filled; nobody waits a second.
    """
    engine = prepare(database, 60_000)
    stop = threading.Event()
    waits: list[float] = []
    errors: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            number = seed * 1_000_000
            while not stop.is_set():
                number += 1
                event = chance.randrange(60_000)
                begun = time.perf_counter()
                try:
                    if chance.random() < 0.7:
                        connection.execute(
                            "INSERT INTO remark (event_id, number) SELECT id, %s FROM event "
                            "WHERE id = %s",
                            (number, event),
                        )
                    elif chance.random() < 0.8:
                        connection.execute(
                            "UPDATE event SET at = at + interval '33 days' WHERE id = %s "
                            "AND at < '2026-11-01'",
                            (event,),
                        )
                    else:
                        connection.execute("DELETE FROM event WHERE id = %s", (event,))
                except (
                    psycopg.errors.ForeignKeyViolation,
                    psycopg.errors.DeadlockDetected,
                ) as error:
                    errors.append(type(error).__name__)  # gone meanwhile: as before
                waits.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    try:
        with engine.connect() as connection, bystander(database.dsn) as someone:
            for back in (True, False):
                done = convert(connection, Event)
                assert done.longest_wait < LONGEST + someone.longest, done
                if back:
                    undo_conversion(connection, Event)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert astray(engine) == 0
    assert len(waits) > 100
    log.info("%d writes, the longest took %.3f s; %s", len(waits), max(waits), set(errors))
    with engine.connect() as connection:
        finish_conversion(connection, Event)
    assert described(engine) == AFTERWARDS
    assert leftovers(engine) == []
