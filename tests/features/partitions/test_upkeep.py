from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import PgultraError, declare
from pgultra.features import partitions
from pgultra.features.partitions import ByHash, ByList, ByRange
from tests.features.partitions.upkeep_stage import (
    LOOK_ALIKES,
    MOMENT,
    STRANGERS,
    children,
    event_table,
    fill,
    made,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.database import Database

LOCKS = """
SELECT l.mode FROM pg_locks AS l
WHERE l.pid = pg_backend_pid() AND l.relation = 'event'::regclass ORDER BY 1
"""


def test_plan_tells_what_maintain_does_and_does_nothing(engine: sa.Engine) -> None:
    """
    The same actions in the same order; after maintain there is nothing more to do.
    """
    table = made(engine, event_table(premake=2, retain="2 months", on_expire="drop"))
    later = MOMENT + timedelta(days=120)
    with engine.connect() as connection:
        before = tables(connection)
        connection.rollback()
        told = partitions.plan(connection, table.metadata, now=later)
        assert not connection.in_transaction()
        assert tables(connection) == before
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=later)
        assert [str(action) for action in done.done] == [str(action) for action in told]
        assert not partitions.plan(connection, table.metadata, now=later)
        assert str(partitions.maintain(connection, table.metadata, now=later)) == "nothing to do"
        assert children(connection, "event") == [
            f"event_2026_{month:02}" for month in (5, 6, 7, 8, 9)
        ]


def test_plan_prints_statements(engine: sa.Engine) -> None:
    """
    Words for people, SQL for those who run it themselves; the SQL does what maintain does.
    """
    table = made(engine, event_table(premake=0))
    later = MOMENT + timedelta(days=31)
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata, now=later)
        assert str(told) == (
            "public.event:\n  create partition public.event_2026_04 "
            "from ('2026-04-01 00:00:00+00') to ('2026-05-01 00:00:00+00')"
        )
        connection.rollback()
        with connection.begin():
            for action in told:
                for statement in action.statements:
                    connection.exec_driver_sql(statement)
        assert not partitions.plan(connection, table.metadata, now=later)


def test_no_act_locks_the_parent_against_readers_or_writers(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Asked of pg_locks within each transaction: nothing above SHARE UPDATE EXCLUSIVE.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop"))
    with engine.begin() as connection:
        fill(connection, "event", 100, "2026-03-01 00:00+00", "1 hour")
        connection.exec_driver_sql("CREATE INDEX event_note ON ONLY event (note)")
    seen: set[str] = set()
    later = MOMENT + timedelta(days=100)

    def look(connection: sa.Connection) -> None:
        seen.update(connection.exec_driver_sql(LOCKS).scalars())

    with engine.connect() as connection:
        sa.event.listen(connection, "commit", look)
        done = partitions.maintain(connection, table.metadata, now=later)
        sa.event.remove(connection, "commit", look)
    assert done.complete
    verbs = {action.verb for action in done.done}
    assert verbs == {"create", "index", "drop"}
    assert "ShareUpdateExclusiveLock" in seen
    assert seen <= {"AccessShareLock", "ShareUpdateExclusiveLock"}


def test_readers_and_writers_go_on_while_it_works(engine: sa.Engine) -> None:
    """
    A reader and a writer in open transactions: partitions are made, and nobody waits.
    """
    table = made(engine, event_table())
    with engine.connect() as busy, engine.connect() as connection:
        busy.exec_driver_sql("INSERT INTO event VALUES (1, '2026-03-02', 'mine')")
        busy.exec_driver_sql("SELECT count(*) FROM event")
        done = partitions.maintain(
            connection, table.metadata, now=MOMENT + timedelta(days=60), attempts=1
        )
        assert [action.verb for action in done.done] == ["create", "create"]
        busy.exec_driver_sql("INSERT INTO event VALUES (2, '2026-06-02', 'new')")
        busy.rollback()


@pytest.mark.slow
def test_look_alikes_survive_everything(engine: sa.Engine) -> None:
    """
    Tables with the very names of our partitions, even with our mark's words, are left alone.
    """
    table = event_table(premake=1, retain="1 month", on_expire="drop")
    with engine.begin() as connection:
        connection.exec_driver_sql(LOOK_ALIKES)
    made(engine, table, datetime(2020, 1, 10, tzinfo=UTC))
    with engine.connect() as connection:
        assert "event_2020_01_2" in children(connection, "event")
        connection.rollback()
        for month in range(0, 24, 3):
            now = datetime(2020, 1, 10, tzinfo=UTC) + timedelta(days=30 * month)
            assert partitions.maintain(connection, table.metadata, now=now).complete
        partitions.status(connection, table.metadata)
        partitions.drain_default(connection, table)
        with connection.begin():
            partitions.adopt(connection, table)
        assert tables(connection) >= set(STRANGERS)
        left = [name for name in children(connection, "event") if name < "event_2021_08"]
        assert left == []


def test_a_table_without_our_mark_stays(engine: sa.Engine) -> None:
    """
    A real partition that somebody else attached is reported, not removed; adopt changes that.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE old PARTITION OF event "
            "FOR VALUES FROM ('2019-01-01 00:00+00') TO ('2019-02-01 00:00+00')"
        )
        connection.exec_driver_sql("COMMENT ON TABLE old IS 'theirs'")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert [action.verb for action in done.done if action.verb != "create"] == []
        assert any('public."old" is older than 1 month' in finding for finding in done.findings)
        with connection.begin():
            assert partitions.adopt(connection, table, dry_run=True) == ('public."old"',)
            assert partitions.adopt(connection, table) == ('public."old"',)
            assert partitions.adopt(connection, table) == ()
            comment = connection.exec_driver_sql("SELECT obj_description('old'::regclass)")
            assert comment.scalar_one() == "theirs\npgultra:default:partitions"
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert [(a.verb, a.child) for a in done.done] == [("drop", 'public."old"')]
        assert "public.old" not in tables(connection)


def test_old_gaps_that_retention_would_take_are_not_filled(engine: sa.Engine) -> None:
    """
    An old partition that stays does not make maintain fill years only to remove them.
    """
    table = made(engine, event_table(retain="2 months"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE old PARTITION OF event "
            "FOR VALUES FROM ('2019-01-01 00:00+00') TO ('2019-02-01 00:00+00')"
        )
    with engine.connect() as connection:
        partitions.maintain(connection, table.metadata, now=MOMENT)
        first = children(connection, "event")
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert done.done == []
        assert first == ["event_2026_01", "event_2026_02", "event_2026_03", "event_2026_04", "old"]


def test_gaps_are_filled_and_another_step_fits_in(engine: sa.Engine) -> None:
    """
    A month that was dropped by hand comes back; weeks begin where months end.
    """
    table = made(engine, event_table(premake=3))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE event_2026_04")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert [action.child for action in done.done] == ["public.event_2026_04"]
    weekly = event_table(every="1 week", premake=18)
    with engine.begin() as connection:
        from pgultra.features.partitions.objects import objects

        for each in objects(weekly, ByRange("at", every="1 week", premake=18)):
            if each.identity.kind == "function":
                for statement in each.replace(each):
                    connection.exec_driver_sql(statement.replace("%", "%%"))
    with engine.connect() as connection:
        done = partitions.maintain(connection, weekly.metadata, now=MOMENT)
        assert done.complete
        bounds = [action.bound for action in done.done]
        assert bounds[0].lower == datetime(2026, 7, 1, tzinfo=UTC)
        assert bounds[0].upper == datetime(2026, 7, 6, tzinfo=UTC)
        assert [one.upper for one in bounds[:-1]] == [next_.lower for next_ in bounds[1:]]
        (state,) = partitions.status(connection, weekly.metadata, now=MOMENT)
        assert (state.gaps, len(state.partitions)) == ((), 4 + len(bounds))


def test_what_is_not_partitioned_does_not_stop_the_others(engine: sa.Engine) -> None:
    """
    A plain table, a table that is not there, one by another key: told, and the rest is done.
    """
    metadata = sa.MetaData()
    event_table(metadata, "plain")
    event_table(metadata, "absent")
    event_table(metadata, "wrong")
    good = event_table(metadata)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for name in ("plain", "absent", "wrong"):
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql("CREATE TABLE plain (id int, at timestamptz)")
        connection.exec_driver_sql(
            "CREATE TABLE wrong (id int, at timestamptz) PARTITION BY LIST (id)"
        )
    with engine.connect() as connection:
        later = datetime.now(UTC) + timedelta(days=62)
        done = partitions.maintain(connection, metadata, now=later)
    assert {action.table for action in done.done} == {f"public.{good.name}"}
    assert [finding.split(",")[0].split(":")[0] for finding in done.findings] == [
        "public.plain is a plain table",
        "public.absent is not there",
        "public.wrong is partitioned by list (id)",
    ]


def test_a_table_that_fails_does_not_stop_the_others(engine: sa.Engine) -> None:
    """
    The problem is in the result, with what the database said.
    """
    metadata = sa.MetaData()
    first = made(engine, event_table(metadata, "first"))
    event_table(metadata, "second")
    with engine.begin() as connection:
        metadata.create_all(connection)
    with engine.connect() as blocker, engine.connect() as connection:
        blocker.exec_driver_sql(f"LOCK TABLE {first.name} IN SHARE ROW EXCLUSIVE MODE")
        done = partitions.maintain(
            connection,
            metadata,
            now=datetime.now(UTC) + timedelta(days=62),
            lock_timeout=0.05,
            attempts=2,
            pause=0.01,
        )
        blocker.rollback()
    assert not done.complete
    assert [(problem.table, "lock timeout" in problem.error) for problem in done.problems] == [
        ("public.first", True)
    ]
    assert {action.table for action in done.done} == {"public.second"}
    assert done.waited == 1


def test_it_tries_again_until_the_lock_is_free(engine: sa.Engine) -> None:
    """
    The lock goes away between two attempts, and the act succeeds.
    """
    table = made(engine, event_table())
    with engine.connect() as blocker, engine.connect() as connection:
        blocker.exec_driver_sql("LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE")
        calls: list[str] = []

        def release(*arguments: Any) -> None:
            if "pg_sleep" in arguments[2]:
                calls.append("slept")
                if len(calls) == 2:
                    blocker.rollback()

        sa.event.listen(connection, "before_cursor_execute", release)
        done = partitions.maintain(
            connection,
            table.metadata,
            now=MOMENT + timedelta(days=31),
            lock_timeout=0.05,
            pause=0.01,
        )
        sa.event.remove(connection, "before_cursor_execute", release)
    assert done.complete
    assert done.waited == 2


def test_a_connection_in_a_transaction_is_refused(engine: sa.Engine) -> None:
    """
    DETACH CONCURRENTLY could not run; the connection is left as it was.
    """
    table = event_table()
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        with pytest.raises(PgultraError, match="in no transaction"):
            partitions.maintain(connection, table.metadata)
        assert connection.in_transaction()


@pytest.mark.parametrize("level", [None, "AUTOCOMMIT", "SERIALIZABLE"])
def test_the_connection_is_given_back_as_it_was(database: Database, level: str | None) -> None:
    """
    Isolation level and lock_timeout are the host's again, also on an engine in AUTOCOMMIT.
    """
    options = {} if level is None else {"isolation_level": level}
    engine = database.engine(**options)
    table = made(database.engine(), event_table(retain="1 month", on_expire="drop"))
    with engine.connect() as connection:
        connection.exec_driver_sql("SET lock_timeout = '7s'")
        connection.commit()
        before = connection.get_isolation_level()
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=MOMENT + timedelta(days=90))
        assert done.complete
        assert connection.get_isolation_level() == before
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "7s"


async def test_the_same_by_await(async_engine: AsyncEngine, engine: sa.Engine) -> None:
    """
    plan, maintain, status and drain_default take an AsyncConnection, with asyncpg.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop", premake=2))
    later = MOMENT + timedelta(days=90)
    async with async_engine.connect() as connection:
        told = await partitions.plan(connection, table.metadata, now=later)
        done = await partitions.maintain(connection, table.metadata, now=later)
        assert done.complete
        assert len(done.done) == len(told.actions) > 3
        (state,) = await partitions.status(connection, table.metadata, now=later)
        assert (state.pending, state.gaps) == (0, ())
        assert await partitions.drain_default(connection, table) == ()


def test_lists_hashes_and_levels_are_kept_up(engine: sa.Engine) -> None:
    """
    Parts that are missing come back at every level, and months below a list get premade.
    """
    metadata = sa.MetaData()
    columns: Callable[[], list[sa.Column[Any]]] = lambda: [  # noqa: E731  # read in place
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    ]
    listed = sa.Table("listed", metadata, *columns())
    below = ByRange("at", every="1 month", premake=1, retain="1 month", on_expire="drop")
    declare(listed, ByList("kind", {"a": ("A", "AA"), "b": ("B",)}, then=below))
    hashed = sa.Table("hashed", metadata, *columns())
    declare(hashed, ByHash("id", modulus=4))
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql("DROP TABLE hashed_h2")
        connection.exec_driver_sql("DROP TABLE listed_b")
    now = datetime.now(UTC)
    with engine.connect() as connection:
        done = partitions.maintain(connection, metadata, now=now)
        assert done.complete, str(done)
        assert children(connection, "hashed") == [f"hashed_h{n}" for n in range(4)]
        assert children(connection, "listed") == ["listed_a", "listed_b"]
        connection.rollback()
        assert not partitions.plan(connection, metadata, now=now)
        later = now + timedelta(days=93)
        done = partitions.maintain(connection, metadata, now=later)
        assert done.complete, str(done)
        assert {action.verb for action in done.done} == {"create", "drop"}
        assert not partitions.plan(connection, metadata, now=later)
        with connection.begin():
            for kind in ("A", "AA", "B"):
                connection.execute(listed.insert(), {"id": 1, "kind": kind, "at": later})


def test_integer_keys_follow_the_greatest_value(engine: sa.Engine) -> None:
    """
    Premade beyond it, and taken away far enough below it.
    """
    table = sa.Table("reading", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True))
    declare(table, ByRange("id", every=100, premake=2, retain=250, on_expire="drop"))
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        connection.execute(table.insert(), [{"id": n} for n in (5, 150, 260)])
    with engine.connect() as connection:
        for greatest in (260, 340, 450, 555):
            with connection.begin():
                connection.execute(table.insert(), {"id": greatest + 1})
            assert partitions.maintain(connection, table.metadata).complete
        found = connection.exec_driver_sql("SELECT min(id), max(id) FROM reading").one()
        assert tuple(found) == (341, 556)
        assert children(connection, "reading") == [
            f"reading_{n}" for n in (300, 400, 500, 600, 700)
        ]
