from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import PgultraError
from pgultra.features import partitions
from pgultra.features.partitions import upkeep
from tests.features.partitions.upkeep_stage import MOMENT, children, event_table, fill, made, tables

if TYPE_CHECKING:
    from tests.fixtures.database import Database

LATER = MOMENT + timedelta(days=62)
"""When March and April are too old, with a month to keep."""
MAINTAIN = """
import sys
from datetime import datetime
import sqlalchemy as sa
from pgultra.features import partitions
from tests.features.partitions.upkeep_stage import event_table

table = event_table(retain="1 month", on_expire="drop")
with sa.create_engine(sys.argv[1]).connect() as connection:
    print("begin", flush=True)
    partitions.maintain(connection, table.metadata, now=datetime.fromisoformat(sys.argv[2]))
"""


def filled(engine: sa.Engine, **rules: Any) -> sa.Table:
    """
    March and April with 100 rows each, and a month to keep.
    """
    table = made(engine, event_table(**{"retain": "1 month", **rules}))
    with engine.begin() as connection:
        fill(connection, "event", 100, "2026-03-01 00:00+00", "1 hour")
        connection.exec_driver_sql(
            "INSERT INTO event SELECT id + 1000, at + interval '1 month', "
            "E'a\\tb\\n\\\\ \"c\", ''d'' ' || id FROM event WHERE id > 0"
        )
        connection.exec_driver_sql("INSERT INTO event VALUES (-1, '2026-03-31 23:59:59+00', NULL)")
    return table


def comment_of(connection: sa.Connection, table: str) -> str:
    """
    A table's comment.
    """
    return str(
        connection.exec_driver_sql(f"SELECT obj_description('{table}'::regclass)").scalar_one()
    )


def test_detached_by_default_and_nothing_is_lost(engine: sa.Engine) -> None:
    """
    The table stays with its rows and indexes; its comment tells where it came from.
    """
    table = filled(engine)
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert [(a.verb, a.child) for a in done.done if a.verb != "create"] == [
            ("detach", "public.event_2026_03")
        ]
        assert "event_2026_03" not in children(connection, "event")
        assert connection.exec_driver_sql("SELECT count(*) FROM event_2026_03").scalar_one() == 101
        told = comment_of(connection, "event_2026_03")
        assert told.endswith("\npgultra:default:partitions")
        assert json.loads(told.split("\n")[0].removeprefix("retired ")) == {
            "from": ["public", "event"],
            "bound": "FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-04-01 00:00:00+00')",
            "then": "detach",
        }
        connection.rollback()
        assert partitions.maintain(connection, table.metadata, now=LATER).done == []
        with connection.begin():  # and it can be had back
            connection.exec_driver_sql(
                "ALTER TABLE event ATTACH PARTITION event_2026_03 "
                "FOR VALUES FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00')"
            )
        assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == 200


def test_exactly_what_is_too_old_goes(engine: sa.Engine) -> None:
    """
    A partition goes when its last moment is too old, by the clock of the zone, not before.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop", time_zone="Europe/Berlin"))
    end_of_march = datetime(2026, 3, 31, 22, tzinfo=UTC)  # midnight in Berlin
    month_later = datetime(2026, 4, 30, 22, tzinfo=UTC)
    with engine.connect() as connection:
        bound = partitions.status(connection, table.metadata, now=MOMENT)[0].partitions[0].bound
        assert bound.upper == end_of_march
        before = partitions.maintain(
            connection, table.metadata, now=month_later - timedelta(seconds=1)
        )
        assert [action.verb for action in before.done] == ["create"]
        after = partitions.maintain(connection, table.metadata, now=month_later)
        assert [(a.verb, a.child) for a in after.done] == [
            ("create", "public.event_2026_06"),
            ("drop", "public.event_2026_03"),
        ]


def test_a_view_on_a_partition_keeps_it_and_is_told(engine: sa.Engine) -> None:
    """
    It is detached, not dropped; without the view the next run finishes.
    """
    table = filled(engine, on_expire="drop")
    with engine.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql("CREATE VIEW march AS SELECT * FROM event_2026_03")
        done = partitions.maintain(connection, table.metadata, now=LATER)
        (problem,) = done.problems
        assert "march" in problem.error
        assert connection.exec_driver_sql("SELECT count(*) FROM march").scalar_one() == 101
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql("DROP VIEW march")
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert [(a.verb, a.child) for a in done.done] == [("dispose", "public.event_2026_03")]
        assert "public.event_2026_03" not in tables(connection)


def test_rows_that_others_refer_to_are_not_taken_away(engine: sa.Engine) -> None:
    """
    A foreign key from elsewhere makes PostgreSQL refuse; the other tables are seen to.
    """
    table = event_table(retain="1 month", on_expire="drop")
    other = event_table(table.metadata, "other", retain="1 month", on_expire="drop")
    made(engine, table)
    made(engine, other)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE mention (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES event)"
        )
        connection.exec_driver_sql("INSERT INTO event VALUES (1, '2026-03-02 00:00+00', 'x')")
        connection.exec_driver_sql("INSERT INTO mention VALUES (1, '2026-03-02 00:00+00')")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert [problem.table for problem in done.problems] == ["public.event"]
        assert "mention" in done.problems[0].error
        assert ("drop", "public.other_2026_03") in [(a.verb, a.child) for a in done.done]
        assert "event_2026_03" in children(connection, "event")


@pytest.mark.slow
def test_a_process_that_is_killed_while_detaching(
    database: Database, engine: sa.Engine, tmp_path: Path
) -> None:
    """
    Killed in the middle of DETACH CONCURRENTLY: the next run finishes it and drops the table.
    """
    table = filled(engine, on_expire="drop")
    script = tmp_path / "maintain.py"
    script.write_text(MAINTAIN)
    with engine.connect() as reader, engine.connect() as connection:
        reader.exec_driver_sql("SELECT count(*) FROM event")  # detaching waits for it
        process = subprocess.Popen(
            [
                sys.executable,
                script,
                database.url.render_as_string(hide_password=False),
                LATER.isoformat(),
            ],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={**__import__("os").environ, "PYTHONPATH": "."},
        )
        pending = sa.text("SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
        deadline = time.monotonic() + 30
        while not connection.execute(pending).scalar_one():
            assert time.monotonic() < deadline, "it never began to detach"
            connection.rollback()
            time.sleep(0.02)
        connection.rollback()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        connection.exec_driver_sql(  # its session notices that nobody is there any more
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%%DETACH%%' "
            "AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        connection.rollback()
        reader.rollback()
        while len(_sessions(connection)) > 2:
            assert time.monotonic() < deadline, "its session stays"
            time.sleep(0.02)
        told = partitions.plan(connection, table.metadata, now=LATER)
        assert [(a.verb, a.child) for a in told if a.verb != "create"] == [
            ("finish", "public.event_2026_03")
        ]
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert done.complete, str(done)
        assert "public.event_2026_03" not in tables(connection)
        assert not connection.execute(pending).scalar_one()
        assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == 99


def _sessions(connection: sa.Connection) -> list[Any]:
    found = connection.exec_driver_sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend'"
    ).all()
    connection.rollback()
    return list(found)


def test_a_reader_that_stays_makes_it_give_up_and_go_on_later(engine: sa.Engine) -> None:
    """
    While somebody reads, detaching waits a moment, is told as a problem, and then is finished.
    """
    table = filled(engine, on_expire="drop")
    with engine.connect() as reader, engine.connect() as connection:
        reader.exec_driver_sql("SELECT count(*) FROM event")
        done = partitions.maintain(
            connection, table.metadata, now=LATER, lock_timeout=0.05, attempts=2, pause=0.01
        )
        assert ["lock timeout" in problem.error for problem in done.problems] == [True]
        reader.rollback()
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert [(a.verb, a.child) for a in done.done] == [("finish", "public.event_2026_03")]
        assert "public.event_2026_03" not in tables(connection)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["detach", "drop", "archive"])
@pytest.mark.parametrize("step", ["note", "detach", "dispose"])
def test_broken_off_after_each_step(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, how: str, step: str
) -> None:
    """
    Whatever step was the last, the next run does the rest, and once only.
    """
    table = filled(engine, on_expire=how, archive="attic")
    real = getattr(upkeep, step)

    class PowerCutError(BaseException):
        pass

    def cut(*arguments: Any, **options: Any) -> Any:
        real(*arguments, **options)
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(upkeep, step, cut)
        with engine.connect() as connection, pytest.raises(PowerCutError):
            partitions.maintain(connection, table.metadata, now=LATER)
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert done.complete, str(done)
        there = tables(connection)
        assert ("public.event_2026_03" in there) is (how == "detach")
        assert ("attic.event_2026_03" in there) is (how == "archive")
        connection.rollback()
        assert partitions.maintain(connection, table.metadata, now=LATER).done == []


def test_what_was_to_be_dropped_stays_when_the_rules_change(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Detached in order to be dropped, and then the model says detach: nothing is dropped.
    """
    table = filled(engine, on_expire="drop")
    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "dispose", lambda *_: None)
        with engine.connect() as connection:
            partitions.maintain(connection, table.metadata, now=LATER)
    kept = event_table(retain="1 month", on_expire="detach")
    with engine.connect() as connection:
        done = partitions.maintain(connection, kept.metadata, now=LATER)
        assert done.done == []
        assert ["it stays" in finding for finding in done.findings] == [True]
        assert "public.event_2026_03" in tables(connection)


def test_archived_into_a_schema(engine: sa.Engine) -> None:
    """
    Moved with its rows and indexes into a schema, which is made when it is not there.
    """
    table = filled(engine, on_expire="archive", archive="At tic")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert done.complete
        assert "At tic.event_2026_03" in tables(connection)
        rows = connection.exec_driver_sql('SELECT count(*) FROM "At tic".event_2026_03')
        assert rows.scalar_one() == 101
        assert '"then": "archived"' in comment_of(connection, '"At tic".event_2026_03')


def test_archive_without_a_place_removes_nothing(engine: sa.Engine) -> None:
    """
    It says so, and the partition stays attached.
    """
    table = filled(engine, on_expire="archive")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert ["archive_to=" in finding for finding in done.findings] == [True]
        assert "event_2026_03" in children(connection, "event")


def test_archived_into_a_file_that_can_be_loaded_again(engine: sa.Engine, tmp_path: Path) -> None:
    """
    The file's rows are those of the partition: loaded again, the checksums are the same.
    """
    table = filled(engine, on_expire="archive")
    now = LATER + timedelta(days=31)
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT * FROM event ORDER BY at, id").all()
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=now, archive_to=tmp_path)
        assert done.complete, str(done)
        assert [each.rows for each in done.archived] == [101, 99]
        assert {"public.event_2026_03", "public.event_2026_04"} & tables(connection) == set()
        connection.rollback()
        for each in done.archived:
            found = partitions.read_archive(each.path)
            assert found == each
            name = each.table.partition(".")[2]
            raw: Any = connection.connection.driver_connection
            with connection.begin():
                connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE event INCLUDING ALL)")
                with (
                    raw.cursor() as cursor,
                    cursor.copy(f"COPY {name} FROM STDIN") as copy,
                    gzip.open(found.path) as file,
                ):
                    copy.write(file.read())
                connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
                columns = [column for column, _ in found.columns]
                again = partitions.archive.checksum_of(connection, name, columns)
                assert again == (found.rows, found.content)
                connection.exec_driver_sql(
                    f"ALTER TABLE event ATTACH PARTITION {name} {found.bound}"
                )
        assert connection.exec_driver_sql("SELECT * FROM event ORDER BY at, id").all() == before


async def test_archived_into_a_file_by_asyncpg_and_async_psycopg(
    database: Database, engine: sa.Engine, tmp_path: Path
) -> None:
    """
    Each driver's COPY gives the very same file.
    """
    digests = []
    for driver in ("asyncpg", "psycopg_async"):
        table = filled(engine, on_expire="archive")
        folder = tmp_path / driver
        async_engine = database.async_engine(driver)
        async with async_engine.connect() as connection:
            done = await partitions.maintain(
                connection, table.metadata, now=LATER, archive_to=folder
            )
        await async_engine.dispose()
        assert done.complete, str(done)
        digests.append([each.sha256 for each in done.archived])
        with engine.begin() as plain:
            plain.exec_driver_sql("DROP TABLE event")
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1


def test_a_file_that_is_not_right_drops_nothing(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A disk that loses a byte: the table stays, detached, and the next run writes it anew.
    """
    table = filled(engine, on_expire="archive")
    real = partitions.archive.copy_out

    def lossy(connection: Any, query: str, take: Any) -> None:
        real(connection, query, take)

    class Forgetful(gzip.GzipFile):
        def write(self, piece: Any) -> int:
            return super().write(bytes(piece).replace(b"\t", b" ", 1))

    with monkeypatch.context() as patched:
        patched.setattr(partitions.archive, "copy_out", lossy)
        patched.setattr(partitions.archive.gzip, "GzipFile", Forgetful)
        with engine.connect() as connection:
            done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
    (problem,) = done.problems
    assert "nothing was dropped" in problem.error
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    with engine.connect() as connection:
        assert "public.event_2026_03" in tables(connection)
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
        assert [each.rows for each in done.archived] == [101]
        assert "public.event_2026_03" not in tables(connection)


def test_another_tables_file_is_not_overwritten(engine: sa.Engine, tmp_path: Path) -> None:
    """
    A file of the same name with something else in it stops the drop.
    """
    table = filled(engine, on_expire="archive")
    precious = tmp_path / "public.event_2026_03.tsv.gz"
    precious.write_bytes(b"precious")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
        assert "holds something else" in done.problems[0].error
        assert "public.event_2026_03" in tables(connection)
    assert precious.read_bytes() == b"precious"


def test_a_changed_archive_is_noticed(engine: sa.Engine, tmp_path: Path) -> None:
    """
    read_archive compares the file with its record.
    """
    table = filled(engine, on_expire="archive")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER, archive_to=tmp_path)
    path = Path(done.archived[0].path)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text.replace(b"note 1\n", b"note 2\n")))
    with pytest.raises(PgultraError, match="is not what was read"):
        partitions.read_archive(path)


def test_two_at_once_do_each_thing_once(engine: sa.Engine) -> None:
    """
    Four threads, one table: nothing fails, nothing is done twice, all of it is done.
    """
    table = filled(engine, on_expire="drop", premake=4)
    now = LATER + timedelta(days=60)
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata, now=now)
    results: list[partitions.Maintained] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        with engine.connect() as connection:
            barrier.wait()
            results.append(partitions.maintain(connection, table.metadata, now=now))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result.complete for result in results), [str(result) for result in results]
    done = sorted(str(action) for result in results for action in result.done)
    assert done == sorted(str(action) for action in told)
    with engine.connect() as connection:
        assert not partitions.plan(connection, table.metadata, now=now)


def test_levels_with_strangers_below_stay(engine: sa.Engine) -> None:
    """
    A marked partition in which somebody put one of his own is not dropped with it.
    """
    from pgultra.features.partitions import ByHash

    table = filled(engine, on_expire="drop", then=ByHash("id", modulus=2))
    with engine.begin() as connection:
        connection.exec_driver_sql("COMMENT ON TABLE event_2026_03_h1 IS NULL")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert any("event_2026_03 is older" in finding for finding in done.findings)
        assert "event_2026_03" in children(connection, "event")
        connection.rollback()
        with connection.begin():
            partitions.adopt(connection, table)
        done = partitions.maintain(connection, table.metadata, now=LATER)
        assert [a.verb for a in done.done] == ["drop"]
        assert not {"public.event_2026_03", "public.event_2026_03_h0"} & tables(connection)
