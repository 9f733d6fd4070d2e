from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import MissingExtension, PgultraError, declare, sql
from pgultra.features import partitions
from pgultra.features.partitions import ByHash, ByRange
from tests.features.partitions.upkeep_stage import (
    MOMENT,
    PARTMAN_TYPE,
    children,
    event_table,
    fill,
    made,
    tables,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.server import Server


def test_status_tells_runway_gaps_default_rows_and_sizes(engine: sa.Engine) -> None:
    """
    Each number is what the database says; a gap ends the runway.
    """
    table = made(engine, event_table(premake=3, default=True))
    with engine.begin() as connection:
        fill(connection, "event", 1000, "2026-03-01 00:00+00", "10 minutes")
        connection.exec_driver_sql("INSERT INTO event VALUES (1, '2030-01-01', 'late')")
        connection.exec_driver_sql("ANALYZE event")
    with engine.connect() as connection:
        (state,) = partitions.status(connection, table.metadata, now=MOMENT)
        assert (state.table, state.strategy) == ("public.event", "range")
        assert [each.name for each in state.partitions] == [
            *(f"public.event_2026_0{month}" for month in (3, 4, 5, 6)),
            "public.event_default",
        ]
        assert state.edge == datetime(2026, 7, 1, tzinfo=UTC)
        assert state.runway == state.edge - MOMENT
        assert (state.gaps, state.default_rows, state.pending) == ((), 1, 0)
        assert state.rows == 1001
        size = sa.text("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('event')")
        assert state.bytes == connection.execute(size).scalar_one()
        assert state.last_run is not None
        assert abs(datetime.now(UTC) - state.last_run) < timedelta(minutes=5)
        assert not state.healthy
        connection.exec_driver_sql("DROP TABLE event_2026_04")
        connection.exec_driver_sql("DELETE FROM event WHERE id = 1 AND at > '2029-01-01'")
        (state,) = partitions.status(connection, table.metadata, now=MOMENT)
        assert state.edge == datetime(2026, 4, 1, tzinfo=UTC)
        assert [str(gap) for gap in state.gaps] == [
            "from ('2026-04-01 00:00:00+00') to ('2026-05-01 00:00:00+00')"
        ]
        assert (state.default_rows, state.pending, state.healthy) == (0, 1, False)


@pytest.mark.parametrize("default", [False, True])
def test_where_the_present_has_no_partition_nothing_is_well(
    engine: sa.Engine, *, default: bool
) -> None:
    """
    Also if no run failed, for none was made.
    """
    table = made(engine, event_table(default=default))
    with engine.connect() as connection:
        for days, well in ((0, True), (31, True), (92, False), (400, False)):
            now = MOMENT + timedelta(days=days)
            (state,) = partitions.status(connection, table.metadata, now=now)
            assert (state.healthy, state.runway > timedelta(0)) == (well, well)


def test_of_numbers_the_last_one_counts(engine: sa.Engine) -> None:
    """
    A row beyond the last partition has no home.
    """
    table = sa.Table("thing", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    declare(table, ByRange("id", every=100))
    made(engine, table)
    with engine.begin() as connection:
        (state,) = partitions.status(connection, table.metadata)
        assert state.healthy
        last = state.edge - 1
        connection.execute(table.insert(), {"id": last})
        (state,) = partitions.status(connection, table.metadata)
        assert (state.healthy, state.runway) == (True, 1)


def test_status_of_levels_and_of_what_is_not_there(engine: sa.Engine) -> None:
    """
    Sizes below are added up; a table that is absent is a finding, never an error.
    """
    table = made(engine, event_table(then=ByHash("id", modulus=2)))
    event_table(table.metadata, "absent")
    with engine.begin() as connection:
        fill(connection, "event", 100, "2026-03-01 00:00+00", "1 hour")
        connection.exec_driver_sql("ANALYZE event")
    with engine.connect() as connection:
        state, absent = partitions.status(connection, table.metadata, now=MOMENT)
        assert state.rows == 100
        assert state.bytes > 0
        assert (state.runway, state.healthy) == (
            datetime(2026, 5, 1, tzinfo=UTC) - MOMENT,
            True,
        )
        assert absent.findings == ("public.absent is not there: migrate, or call create_all",)
        assert absent.partitions == ()


def test_the_last_run_remembers_problems(engine: sa.Engine) -> None:
    """
    Until a run without problems.
    """
    table = made(engine, event_table())
    later = MOMENT + timedelta(days=31)
    with engine.connect() as blocker, engine.connect() as connection:
        blocker.exec_driver_sql("LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE")
        partitions.maintain(connection, table.metadata, now=later, lock_timeout=0.05, attempts=1)
        blocker.rollback()
        (state,) = partitions.status(connection, table.metadata, now=later)
        assert ["lock timeout" in problem for problem in state.problems] == [True]
        connection.rollback()
        partitions.maintain(connection, table.metadata, now=later)
        (state,) = partitions.status(connection, table.metadata, now=later)
        assert state.problems == ()


def test_who_may_not_write_the_log_is_told_and_done(
    engine: sa.Engine, owner_engine: sa.Engine
) -> None:
    """
    A log that belongs to somebody else stops nothing.
    """
    table = made(owner_engine, event_table())
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE pgultra_partitions_run OWNER TO postgres")
        connection.exec_driver_sql("REVOKE ALL ON pgultra_partitions_run FROM PUBLIC")
    with owner_engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT + timedelta(days=31))
        assert [action.verb for action in done.done] == ["create"]
        assert ["not written down" in finding for finding in done.findings] == [True]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ['Weird "Table', "x" * 63, "ünïcode " * 4, "select", "per%cent", "back\\slash", "a'b:c"]
)
def test_hostile_names_in_another_schema(
    engine: sa.Engine, owner_engine: sa.Engine, name: str
) -> None:
    """
    Made, indexed, drained, retired and archived by an owner who is no superuser.
    """
    with owner_engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "My:Shop%%"')
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("i d", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column('a"T', sa.DateTime(timezone=True), primary_key=True),
        sa.Column("a note", sa.Text),
        schema="My:Shop%",
    )
    declare(
        table,
        ByRange(
            'a"T',
            every="1 month",
            premake=1,
            retain="1 month",
            on_expire="archive",
            archive="At tic%",
            default=True,
        ),
    )
    with owner_engine.begin() as connection:
        table.metadata.create_all(connection)
        future = datetime.now(UTC) + timedelta(days=400)
        connection.execute(
            table.insert(), [{"i d": n, 'a"T': future, "a note": "x"} for n in range(20)]
        )
        spelt = sql.qualified(table.schema, table.name).replace("%", "%%")
        connection.exec_driver_sql(f'CREATE INDEX "in%%dex" ON ONLY {spelt} ("a note")')
    with owner_engine.connect() as connection:
        (drained,) = partitions.drain_default(connection, table)
        assert drained.rows == 20
        done = partitions.maintain(
            connection, table.metadata, now=datetime.now(UTC) + timedelta(days=95)
        )
        assert done.complete, str(done)
        assert {action.verb for action in done.done} == {"create", "index", "archive"}
        (state,) = partitions.status(connection, table.metadata)
        assert state.default_rows == 0
        assert not partitions.plan(
            connection, table.metadata, now=datetime.now(UTC) + timedelta(days=95)
        )
        assert any(each.startswith("At tic%.") for each in tables(connection))


def test_touched_partitions_of_every_kind_of_statement(engine: sa.Engine) -> None:
    """
    A select, an update, a delete, a join whose partitions are known only when it runs.
    """
    table = made(engine, event_table(premake=5))
    probe = sa.table("probe", sa.column("at", sa.DateTime(timezone=True)))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE probe AS SELECT timestamptz '2026-05-02' AS at")
    here = table.c.at == datetime(2026, 5, 2, tzinfo=UTC)
    with engine.connect() as connection:
        one = {"public.event": ("public.event_2026_05",)}
        assert partitions.partitions_touched(connection, sa.select(table).where(here)) == one
        assert partitions.partitions_touched(connection, table.delete().where(here)) == one
        changed = table.update().where(here).values(note="x")
        assert partitions.partitions_touched(connection, changed) == one
        by_text = sa.text("SELECT * FROM event WHERE at = :at")
        at = datetime(2026, 5, 2, tzinfo=UTC)
        assert partitions.partitions_touched(connection, by_text, {"at": at}) == one
        partitions.assert_pruned(connection, sa.select(table).where(here))
        everything = sa.select(table).where(table.c.id == 1)
        with pytest.raises(AssertionError, match=r"touches 6 partitions of public\.event"):
            partitions.assert_pruned(connection, everything)
        partitions.assert_pruned(connection, everything, at_most=6)
        function = sa.select(table).where(sa.func.date_trunc("month", table.c.at) == at)
        with pytest.raises(AssertionError, match="without a function"):
            partitions.assert_pruned(connection, function)
        connection.exec_driver_sql("SET enable_hashjoin = off")
        connection.exec_driver_sql("SET enable_mergejoin = off")
        connection.exec_driver_sql("ANALYZE probe")
        joined = sa.select(table).join(probe, probe.c.at == table.c.at)
        assert len(partitions.partitions_touched(connection, joined)["public.event"]) == 6
        assert partitions.partitions_touched(connection, joined, analyze=True) == one
        count = sa.select(sa.func.count()).select_from(table)
        write = sa.text("INSERT INTO event VALUES (77, '2026-05-03', 'x') RETURNING id")
        partitions.partitions_touched(connection, write, analyze=True)
        assert connection.execute(count).scalar_one() == 0


async def test_pruned_by_await(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    """
    With asyncpg, whose plans have parameters.
    """
    table = made(engine, event_table(premake=5))
    async with async_engine.connect() as connection:
        await partitions.assert_pruned(connection, sa.select(table).where(table.c.at == MOMENT))
        with pytest.raises(AssertionError):
            await partitions.assert_pruned(connection, sa.select(table).where(table.c.id == 1))


@pytest.mark.needs("pg_cron")
def test_pg_cron_makes_partitions_ahead(server: Server) -> None:
    """
    The job's command runs as it stands; scheduling twice leaves one job, removing none.
    """
    schema = f"{server.prefix}_cron"
    table = event_table(schema=schema, premake=1)
    engine = sa.create_engine(server.url("postgres"), poolclass=sa.NullPool)  # where pg_cron is
    jobs = sa.text("SELECT jobname, schedule, command FROM cron.job WHERE jobname LIKE :name")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_cron")
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            table.metadata.create_all(connection)
        with engine.begin() as connection:
            partitions.schedule_premake(connection, table.metadata)
            (name,) = partitions.schedule_premake(connection, table.metadata, schedule="5 4 * * *")
            assert name == f"pgultra default premake {schema}.event"
            (job,) = connection.execute(jobs, {"name": f"%{schema}%"}).all()
            assert (job.jobname, job.schedule) == (name, "5 4 * * *")
            connection.exec_driver_sql(
                f"DROP TABLE {schema}.{children(connection, 'event')[-1][-13:]}"
            )
            assert len(connection.exec_driver_sql(job.command).scalar_one()) == 1
            assert partitions.unschedule_premake(connection, table.metadata) == (name,)
            assert connection.execute(jobs, {"name": f"%{schema}%"}).all() == []
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def test_the_command_of_the_job_runs_as_it_stands(engine: sa.Engine) -> None:
    """
    What pg_cron would run, run by hand: partitions are made ahead of the present.
    """
    from pgultra.features.partitions.children import parents_of
    from pgultra.features.partitions.cron import command_of

    table = event_table(name='Weird "Event', premake=4)
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        for name in children(connection, table.name)[1:]:
            connection.exec_driver_sql(f"DROP TABLE {name}")
        (parent,) = parents_of(connection, table.metadata)
        made_ = connection.exec_driver_sql(command_of(parent).replace("%", "%%")).scalar_one()
        assert len(made_) == 4
        assert len(children(connection, table.name)) == 5


def test_without_pg_cron_the_way_out_is_told(engine: sa.Engine) -> None:
    """
    The error names the extension, and maintain as the other way.
    """
    table = made(engine, event_table())
    with engine.begin() as connection:
        with pytest.raises(MissingExtension, match="call maintain regularly"):
            partitions.schedule_premake(connection, table.metadata)
        assert partitions.unschedule_premake(connection, table.metadata) == ()


@pytest.mark.slow
@pytest.mark.needs("pg_partman")
def test_tables_of_pg_partman_are_left_alone_and_moved_over(engine: sa.Engine) -> None:
    """
    Recognised, reported, untouched; once out of part_config, adopted and kept up.
    """
    table = event_table(premake=2, retain="2 months", on_expire="drop")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"""
            CREATE SCHEMA partman;
            CREATE EXTENSION pg_partman SCHEMA partman;
            CREATE TABLE event (id bigint, at timestamptz NOT NULL, note text, PRIMARY KEY (id, at))
                PARTITION BY RANGE (at);
            SELECT partman.create_parent('public.event', 'at', p_interval := '1 month', p_premake := 2,
                p_start_partition := '2025-01-01', p_type := {PARTMAN_TYPE});
            DROP TABLE event_default;
            """
        )
        theirs = children(connection, "event")
        assert len(theirs) > 10
    with engine.connect() as connection:
        managed = partitions.managed_by_partman(connection)
        assert managed == {("public", "event")}
        connection.rollback()
        done = partitions.maintain(connection, table.metadata)
        assert done.done == []
        assert ["managed by pg_partman" in finding for finding in done.findings] == [True]
        with pytest.raises(PgultraError, match="managed by pg_partman"):
            partitions.adopt(connection, table)
        connection.rollback()
        assert children(connection, "event") == theirs
        connection.rollback()
        with connection.begin():
            connection.exec_driver_sql(
                "DELETE FROM partman.part_config WHERE parent_table = 'public.event'"
            )
            table.metadata.create_all(connection)
            assert len(partitions.adopt(connection, table)) >= len(theirs)
        done = partitions.maintain(connection, table.metadata)
        assert done.complete, str(done)
        assert {action.verb for action in done.done} <= {"create", "drop"}
        assert not partitions.plan(connection, table.metadata)
        (state,) = partitions.status(connection, table.metadata)
        assert (state.gaps, state.healthy) == ((), True)


def test_marks_of_another_application_are_not_taken(engine: sa.Engine) -> None:
    """
    Two applications in one database: neither retires nor adopts the other's partitions.
    """
    table = made(engine, event_table(retain="1 month", on_expire="drop"))
    with engine.begin() as connection:
        connection.exec_driver_sql("COMMENT ON TABLE event_2026_03 IS 'pgultra:shop:partitions'")
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=MOMENT + timedelta(days=62))
        assert {action.verb for action in done.done} == {"create"}
        with pytest.raises(PgultraError, match="pgultra:shop:partitions: it is not ours"):
            partitions.adopt(connection, table)
