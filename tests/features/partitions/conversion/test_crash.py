from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgultra import plan
from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.storm import Base, Event
from tests.features.partitions.conversion.test_storm import storm_over

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tests.fixtures.database import Database

PLACES = [
    ("ATTACH PARTITION", 3),  # build
    ("AFTER INSERT OR UPDATE", 1),  # mirror
    ("WITH page", 1),  # copy
    ("WITH page", 7),
    ("jsonb_build_object('copied'", 3),
    ("pg_catalog.hashtextextended((ROW", 1),  # compare
    ("ANALYZE", 1),
    ("ADD CONSTRAINT event_author_fkey", 4),  # constrain
    ("VALIDATE CONSTRAINT event_author_fkey", 4),
    ("LOCK TABLE", 1),  # exchange
    ("RENAME TO", 2),
    ("_partitions_back", 1),
    ("pgultra_partitions_premake", 1),  # settle
]


def run(database: Database, verb: str, fragment: str, count: int, way: str = "copy") -> int:
    """
    A converter that is killed at a statement; its exit code.
    """
    url = database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.features.partitions.conversion.converter"]
    done = subprocess.run(
        [*command, url, verb, way, fragment, str(count)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def prepare(database: Database) -> sa.Engine:
    """
    A plain table with a foreign key, and its shadow.
    """
    storm_over(database, 5000)
    engine = database.engine()
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE author (id bigint PRIMARY KEY)",
            "INSERT INTO author SELECT generate_series(1, 5000)",
            "ALTER TABLE event ADD CONSTRAINT event_author_fkey FOREIGN KEY (amount) REFERENCES author",
        ):
            connection.exec_driver_sql(statement)
    return engine


def write(engine: sa.Engine, step: int) -> None:
    """
    What somebody does while no converter is there: everything, to the table and to its shadow.
    """
    with engine.begin() as connection:
        for table in ("event", "shadow"):
            for statement in (
                f"DELETE FROM {table} WHERE id % 97 = {step}",
                f"UPDATE {table} SET at = at + interval '40 days' WHERE id % 89 = {step} AND id < 4000",
                f"UPDATE {table} SET kind = 'step {step}' WHERE id % 83 = {step}",
                f"INSERT INTO {table} SELECT {step}0000 + g, '2026-05-05Z', 'new', 1 FROM generate_series(1, 50) g",
            ):
                connection.exec_driver_sql(statement.replace("%", "%%"))


def same(engine: sa.Engine) -> bool:
    """
    Whether table and shadow hold the same rows, and the table is counted whole.
    """
    text = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM (SELECT id, at, kind, amount FROM {}) AS t"
    with engine.connect() as connection:
        one, other = (connection.exec_driver_sql(text.format(t)).one() for t in ("event", "shadow"))
    return tuple(one) == tuple(other)


def leftovers(engine: sa.Engine) -> list[str]:
    """
    Tables, functions and triggers that only a conversion has.
    """
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname::text FROM pg_class WHERE relname ~ 'partitions_(old|new|rest|journal)'"
            " AND relname !~ '(key|idx)_partitions_(old|first)$'"
            " UNION ALL SELECT proname::text FROM pg_proc WHERE proname ~ 'partitions_(forward|back)'"
            " UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname ~ 'partitions_(forward|back)'"
        )
        return list(found.scalars())


@pytest.mark.slow
@pytest.mark.parametrize(("fragment", "count"), PLACES)
def test_a_killed_converter_goes_on(database: Database, fragment: str, count: int) -> None:
    """
    After kill -9 at any statement the table is whole and can be written, and convert goes on.
    """
    engine = prepare(database)
    assert run(database, "convert", fragment, count) == -signal.SIGKILL
    assert same(engine)
    write(engine, 1)
    assert same(engine)
    with engine.connect() as connection:
        assert convert(connection, Event, batch=500).outcome == "converted"
    assert same(engine)
    write(engine, 2)
    assert same(engine)
    with engine.connect() as connection:
        assert plan.check(connection, Base.metadata).steps == ()
        connection.rollback()
        finish_conversion(connection, Event)
    assert same(engine)
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.parametrize(("fragment", "count"), PLACES[::2])
def test_a_killed_converter_can_be_undone(database: Database, fragment: str, count: int) -> None:
    """
    Wherever it was killed, undo_conversion gives back the table as it was, with all changes.
    """
    engine = prepare(database)
    assert run(database, "convert", fragment, count) == -signal.SIGKILL
    write(engine, 1)
    with engine.connect() as connection:
        with connection.begin():
            begun = connection.exec_driver_sql(
                "SELECT to_regclass('pgultra_partitions_journal') IS NOT NULL"
            ).scalar_one()
        if begun:
            assert undo_conversion(connection, Event).outcome == "undone"
        kind = connection.exec_driver_sql("SELECT relkind FROM pg_class WHERE relname = 'event'")
        assert kind.scalar_one() == "r"
    assert same(engine)
    write(engine, 2)
    assert same(engine)
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "fragment", "count"),
    [
        ("undo", "pg_catalog.hashtextextended((ROW", 1),
        ("undo", "LOCK TABLE", 1),
        ("undo", "RENAME TO", 3),
        ("undo", "DROP CONSTRAINT", 1),
        ("undo", "DROP TABLE", 1),
        ("undo", "DELETE FROM public.pgultra_partitions_journal", 1),
        ("finish", "LOCK TABLE", 1),
        ("finish", "DROP TABLE", 1),
        ("finish", "DROP CONSTRAINT", 1),
        ("finish", "DROP TABLE", 2),
        ("finish", "DELETE FROM public.pgultra_partitions_journal", 1),
    ],
)
def test_a_killed_ending_is_repeated(
    database: Database, verb: str, fragment: str, count: int
) -> None:
    """
    Undoing and finishing can be killed at any statement, and are then done again.
    """
    engine = prepare(database)
    with engine.connect() as connection:
        convert(connection, Event)
    write(engine, 1)
    assert run(database, verb, fragment, count) == -signal.SIGKILL
    write(engine, 2)
    assert same(engine)
    with engine.connect() as connection:
        (undo_conversion if verb == "undo" else finish_conversion)(connection, Event)
        kind = connection.exec_driver_sql("SELECT relkind FROM pg_class WHERE relname = 'event'")
        assert kind.scalar_one() == ("r" if verb == "undo" else "p")
    write(engine, 3)
    assert same(engine)
    assert leftovers(engine) == []


@pytest.mark.slow
def test_what_was_begun_to_be_finished_cannot_be_undone(database: Database) -> None:
    """
    Once nothing keeps the old table the same, only the end is left; and it is said.
    """
    engine = prepare(database)
    with engine.connect() as connection:
        convert(connection, Event)
    assert run(database, "finish", "DROP TABLE", 2) == -signal.SIGKILL
    write(engine, 1)
    with engine.connect() as connection:
        for act in (convert, undo_conversion):
            with pytest.raises(PgultraError, match="go on with finish_conversion"):
                act(connection, Event)
        assert finish_conversion(connection, Event).outcome == "finished"
    assert same(engine)
    assert leftovers(engine) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fragment", "count"),
    [
        ("ATTACH PARTITION", 2),
        ("CONCURRENTLY", 1),
        ("NOT VALID", 1),
        ("VALIDATE", 1),
        ("LOCK TABLE", 1),
        ("USING INDEX", 1),
        ("RENAME TO", 4),
        ("pgultra_partitions_premake", 1),
    ],
)
@pytest.mark.parametrize("back", [False, True])
def test_a_killed_attachment_goes_on_or_back(
    database: Database, fragment: str, count: int, back: bool
) -> None:
    """
    The way without a copy can be killed at any statement, too; undone until the names change.
    """
    engine = prepare(database)
    assert run(database, "convert", fragment, count, "attach") == -signal.SIGKILL
    write(engine, 1)
    assert same(engine)
    with engine.connect() as connection:
        with connection.begin():
            state = connection.exec_driver_sql(
                "SELECT relkind, to_regclass('pgultra_partitions_journal') IS NOT NULL"
                " FROM pg_class WHERE relname = 'event'"
            ).one()
        if back and tuple(state) == ("r", True):
            undo_conversion(connection, Event)
        else:
            convert(connection, Event, way="attach")
            finish_conversion(connection, Event)
            assert plan.check(connection, Base.metadata).steps == ()
    write(engine, 2)
    assert same(engine)
    assert leftovers(engine) == []
