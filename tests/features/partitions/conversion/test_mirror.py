from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from pgultra.features.partitions.conversion.convert import declared
from pgultra.features.partitions.conversion.run import Conversion
from tests.features.partitions.conversion.storm import Event
from tests.features.partitions.conversion.test_storm import storm_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.database import Database

pytestmark = pytest.mark.slow

Both = tuple[list[Any], list[Any]]


class Stop(Exception):
    """
    The converter is stopped here.
    """


@pytest.fixture(params=["mirror", "compare", "exchange"])
def pair(
    request: pytest.FixtureRequest, database: Database
) -> Iterator[tuple[psycopg.Connection[Any], Callable[[], Both]]]:
    """
    A table in the midst of its conversion, and a function that reads it and its other half.

    With ``mirror`` no row is copied yet: whatever the other half has is what triggers brought.
    """
    storm_over(database, 1000)
    engine = database.engine()
    table, rules = declared(Event)
    wanted = request.param

    with engine.connect() as connection:
        work = Conversion(connection, table, rules)
        with work.alone():
            for name in work.steps:
                getattr(work, f"do_{name}")()
                if name == wanted:
                    break
    other = "event_partitions_old" if wanted == "exchange" else "event_partitions_new"
    with psycopg.connect(database.dsn, autocommit=True) as connection:

        def both() -> Both:
            found = [
                connection.execute(
                    f"SELECT id, at, kind, amount FROM {name} ORDER BY id, at"  # type: ignore[arg-type]
                ).fetchall()
                for name in ("event", other)
            ]
            if wanted == "mirror":  # only what was touched is there
                touched = {row[0] for row in found[1]}
                found[0] = [row for row in found[0] if row[0] in touched]
            return found[0], found[1]

        yield connection, both


STATEMENTS = """
INSERT INTO event VALUES (5000, '2026-05-05Z', 'a', 1)
INSERT INTO event TABLE event UNION SELECT 8000, '2026-05-05Z', 'a', 1 ON CONFLICT DO NOTHING
UPDATE event SET kind = 'x' WHERE id < 100
UPDATE event SET at = at + interval '100 days' WHERE id BETWEEN 50 AND 60
UPDATE event SET id = id + 100000, at = at + interval '3 days' WHERE id < 20
DELETE FROM event WHERE id % 3 = 0
WITH g AS (DELETE FROM event WHERE id < 10 RETURNING *) INSERT INTO event SELECT id + 7000, at, kind FROM g
MERGE INTO event AS e USING (VALUES (1), (2000)) AS v (id) ON e.id = v.id WHEN MATCHED THEN UPDATE SET kind = 'm' WHEN NOT MATCHED THEN INSERT VALUES (v.id, '2026-07-07Z', 'made', 0)
BEGIN; UPDATE event SET kind = 'gone'; SAVEPOINT a; DELETE FROM event; ROLLBACK TO a; UPDATE event SET amount = 3 WHERE id < 5; COMMIT
BEGIN; DELETE FROM event WHERE id = 7; INSERT INTO event VALUES (7, '2026-02-02Z', 'b', 2); UPDATE event SET id = 70000 WHERE id = 7; COMMIT
SET session_replication_role = replica; DELETE FROM event WHERE id < 40; RESET session_replication_role
BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE event SET kind = 's' WHERE id < 9; COMMIT
"""


@pytest.mark.slow
@pytest.mark.parametrize("statement", STATEMENTS.strip().splitlines())
def test_a_change_reaches_the_other_table(pair: Any, statement: str) -> None:
    """
    Whatever statement changes the table, its other half is the same afterwards.
    """
    connection, both = pair
    for part in statement.split("; "):
        connection.execute(part)
    one, other = both()
    assert one == other


def test_the_old_key_holds_until_the_end(database: Database) -> None:
    """
    As long as there is a way back, two rows with one old key are refused; then no more.
    """
    storm_over(database, 10)
    twice = "INSERT INTO event VALUES (5, '2026-05-05Z', 'twice', 1)"
    with psycopg.connect(database.dsn, autocommit=True) as other:
        with database.engine().connect() as connection:
            convert(connection, Event)
            with pytest.raises(psycopg.errors.UniqueViolation):
                other.execute(twice)
            finish_conversion(connection, Event)
        other.execute(twice)


def test_copy_reaches_the_other_table(pair: Any) -> None:
    """
    So does COPY.
    """
    connection, both = pair
    with connection.cursor().copy("COPY event FROM STDIN") as copy:
        for number in range(5000, 5100):
            copy.write_row((number, f"2026-{1 + number % 12:02}-09Z", "copied", None))
    one, other = both()
    assert one == other
    assert len([row for row in one if row[2] == "copied"]) == 100


def test_truncate_reaches_the_other_table(pair: Any) -> None:
    """
    TRUNCATE is passed on, also that of one partition; what is written afterwards, too.
    """
    connection, both = pair
    connection.execute("UPDATE event SET kind = 'touched'")
    partition = connection.execute(
        "SELECT count(*), min(tableoid::regclass::text) FROM event WHERE at < '2026-02-01Z'"
    ).fetchone()
    if partition[1] != "event":
        connection.execute(f"TRUNCATE {partition[1]}")
        one, other = both()
        assert one == other
        assert len(one) == 1000 - partition[0]
    connection.execute("TRUNCATE event")
    connection.execute("INSERT INTO event VALUES (1, '2026-05-05Z', 'first', 1)")
    one, other = both()
    assert one == other
    assert len(one) == 1


def test_a_trigger_that_changes_its_row_again(pair: Any) -> None:
    """
    A host's AFTER trigger that writes rows of the statement anew does not lead to old values.
    """
    connection, both = pair
    connection.execute(
        "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " UPDATE event SET amount = amount + 1 WHERE id IN (NEW.id, NEW.id + 1);"
        " DELETE FROM event WHERE id = NEW.id + 2; RETURN NULL; END$$"
    )
    for name in ("aaa", "zzz"):
        connection.execute(
            f"CREATE TRIGGER {name} AFTER UPDATE OF kind ON event FOR EACH ROW EXECUTE FUNCTION again()"
        )
    connection.execute("UPDATE event SET kind = 'twice', id = id + 2000 WHERE id < 30")
    connection.execute("UPDATE event SET kind = 'twice' WHERE id BETWEEN 100 AND 130")
    one, other = both()
    assert one == other


def test_a_role_that_may_only_insert(pair: Any, database: Database) -> None:
    """
    Who may write to the table needs no rights on its other half, and gets none.
    """
    connection, both = pair
    role = f"{database.name}_writer"
    connection.execute(f"CREATE ROLE {role}")
    try:
        connection.execute(f"GRANT INSERT ON event TO {role}")
        connection.execute(f"SET ROLE {role}")
        connection.execute("INSERT INTO event VALUES (6000, '2026-05-05Z', 'theirs', 1)")
        for name in ("event_partitions_new", "event_partitions_old"):
            with pytest.raises(psycopg.Error):
                connection.execute(f"DELETE FROM {name}")
        connection.execute("RESET ROLE")
        one, other = both()
        assert one == other
    finally:
        connection.execute("RESET ROLE")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_an_older_snapshot_is_told_to_try_again(database: Database) -> None:
    """
    A REPEATABLE READ transaction that cannot see a copied row is refused with 40001.

    Were it not, the copy would keep a row that the table has no more.
    """
    storm_over(database, 1000)
    table, rules = declared(Event)
    with psycopg.connect(database.dsn) as old, database.engine().connect() as connection:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        work = Conversion(connection, table, rules)
        with work.alone():
            work.do_build()
            work.do_mirror()
            for statement in (
                "DELETE FROM event WHERE id = 5",
                "UPDATE event SET kind = 'x' WHERE id = 6",
                "UPDATE event SET at = '2026-12-12Z' WHERE id = 7",
            ):
                old.execute("SELECT 1")
                if work.entry.step == "mirror":
                    work.do_copy()
                    with pytest.raises(psycopg.errors.SerializationFailure):
                        old.execute(statement)
                    old.rollback()
                old.execute(statement)
                old.commit()
            work.do_compare()
            assert work.entry.state["repaired"] == 0
            assert work.entry.state["rows"] == 999


def test_what_is_being_written_is_copied_later(database: Database) -> None:
    """
    Rows that somebody holds are neither waited for nor forgotten.
    """
    storm_over(database, 1000)
    table, rules = declared(Event)
    with psycopg.connect(database.dsn) as writer, database.engine().connect() as connection:
        work = Conversion(connection, table, rules, batch=100)
        with work.alone():
            work.do_build()
            work.do_mirror()
            writer.execute("UPDATE event SET kind = 'held' WHERE id BETWEEN 100 AND 300")
            writer.execute("DELETE FROM event WHERE id = 400")
            writer.execute("SELECT FROM event WHERE id BETWEEN 500 AND 510 FOR UPDATE")
            work.do_copy()
            assert work.entry.state["copied"] == 1000 - 201 - 1 - 11
            writer.rollback()
            work.do_compare()
            assert work.entry.state["repaired"] == 201 + 1 + 11
            assert work.entry.state["rows"] == 1000


def test_rows_without_a_home_get_one(database: Database) -> None:
    """
    A row beyond all partitions is taken during the conversion, and its partition is made.
    """
    storm_over(database, 1000)
    engine = database.engine()

    def write(step: str) -> None:
        if step == "copy":
            with engine.begin() as other:
                other.exec_driver_sql("INSERT INTO event VALUES (9000, '2031-05-05Z', 'far', 1)")
                other.exec_driver_sql("INSERT INTO event VALUES (9001, '1999-05-05Z', 'old', 1)")

    with engine.connect() as connection:
        convert(connection, Event, announce=write)
        finish_conversion(connection, Event)
        found = connection.exec_driver_sql(
            "SELECT tableoid::regclass::text FROM event WHERE id >= 9000 ORDER BY id"
        )
        assert found.scalars().all() == ["event_2031_05", "event_1999_05"]


def test_the_way_back_has_what_was_written_since(database: Database) -> None:
    """
    After days as a partitioned table, undoing keeps every change, and its checks found nothing.
    """
    storm_over(database, 1000)
    engine = database.engine()
    with engine.connect() as connection:
        convert(connection, Event)
        for text in (
            "DELETE FROM event WHERE id < 100",
            "UPDATE event SET at = at + interval '60 days', kind = 'moved' WHERE id < 200",
            "INSERT INTO event SELECT 3000 + g, '2026-08-08Z', 'since', g FROM generate_series(1, 50) g",
        ):
            connection.exec_driver_sql(text)
        connection.commit()
        before = connection.exec_driver_sql("TABLE event ORDER BY id").all()
        connection.rollback()
        assert undo_conversion(connection, Event).repaired == 0
        assert connection.exec_driver_sql("TABLE event ORDER BY id").all() == before
