from __future__ import annotations

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import PgultraError, declare
from pgultra.features import partitions
from pgultra.features.partitions import ByList, draining, upkeep
from tests.features.partitions.upkeep_stage import MOMENT, children, event_table, fill, made

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

DEFAULT = "SELECT count(*) FROM ONLY event_default"
CHECKSUM = "SELECT count(*), sum(hashtextextended(ROW(id, at, note)::text, 0)) FROM {}"


def late(engine: sa.Engine, number: int = 3000, **rules: Any) -> sa.Table:
    """
    Events of June and July in the default partition, since nobody premade.
    """
    table = made(engine, event_table(default=True, premake=0, **rules))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE event ADD COLUMN twice text GENERATED ALWAYS AS (note || note) STORED"
        )
        fill(connection, "event", number, "2026-06-20 00:00+00", "10 minutes")
    return table


def test_rows_move_into_partitions_of_their_own(engine: sa.Engine) -> None:
    """
    The same rows as before, none left in the default partition, no trace of the work.
    """
    table = late(engine)
    with engine.connect() as connection:
        before = connection.exec_driver_sql(CHECKSUM.format("event")).one()
        connection.rollback()
        seen: list[tuple[str, int]] = []
        done = partitions.drain_default(
            connection, table, now=MOMENT, batch=500, progress=lambda *each: seen.append(each)
        )
        assert [(each.child, each.rows) for each in done] == [
            ("public.event_2026_06", 1584),
            ("public.event_2026_07", 1416),
        ]
        assert seen[:3] == [
            ("public.event_2026_06", 500),
            ("public.event_2026_06", 1000),
            ("public.event_2026_06", 1500),
        ]
        assert connection.exec_driver_sql(CHECKSUM.format("event")).one() == before
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 0
        left = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_constraint "
            "WHERE contype = 'c' AND conname LIKE 'pgultra%%'), "
            "(SELECT count(*) FROM pg_proc WHERE proname LIKE '%%drain%%')"
        ).one()
        assert tuple(left) == (0, 0, 0)
        connection.rollback()
        assert partitions.drain_default(connection, table, now=MOMENT) == ()


def test_maintain_drains_what_stands_in_its_way(engine: sa.Engine) -> None:
    """
    Rows that came early are where the partition shall be: they are moved, and it is made.
    """
    table = late(engine, 300)
    with engine.connect() as connection:
        now = datetime(2026, 6, 25, tzinfo=UTC)
        told = partitions.plan(connection, table.metadata, now=now)
        assert [(a.verb, a.child) for a in told] == [
            ("create", "public.event_2026_04"),
            ("create", "public.event_2026_05"),
            ("drain", "public.event_2026_06"),
        ]
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=now)
        assert done.complete, str(done)
        assert [each.rows for each in done.drained] == [300]
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 0


def test_the_default_partition_is_not_read_while_it_is_locked(engine: sa.Engine) -> None:
    """
    A CHECK that was validated before lets ATTACH prove what it must know; it is gone after.
    """
    table = made(engine, event_table(default=True, premake=0))
    notices: list[str] = []
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.exec_driver_sql("SET client_min_messages = debug1")
        connection.commit()
        done = partitions.maintain(connection, table.metadata, now=MOMENT + timedelta(days=62))
        assert done.complete, str(done)
        assert [action.verb for action in done.done] == ["create", "create"]
        connection.exec_driver_sql("SET client_min_messages = notice")
        proofs = [each for each in notices if "default partition" in each and "implied" in each]
        assert len(proofs) == 2
        left = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'pgultra%%'"
        assert connection.exec_driver_sql(left).scalar_one() == 0


def test_a_check_that_a_killed_run_left_is_cleared(engine: sa.Engine) -> None:
    """
    It would refuse rows for ever; the next run takes it away, also with nothing else to do.
    """
    table = made(engine, event_table(default=True, premake=0))
    late_ = "INSERT INTO event VALUES (1, '2026-05-05')"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE event_default ADD CONSTRAINT pgultra_shield_0"
            " CHECK (at IS NULL OR at < '2026-05-01Z') NOT VALID"
        )
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql(late_)
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata, now=MOMENT)
        assert [str(action) for action in told] == [
            "clear public.event_default  (CHECKs of a run that broke off)"
        ]
        connection.rollback()
        done = partitions.maintain(connection, table.metadata, now=MOMENT)
        assert [action.verb for action in done.done] == ["clear"]
        connection.exec_driver_sql(late_)
        connection.commit()
        assert not partitions.plan(connection, table.metadata, now=MOMENT)


def test_a_check_that_does_not_hold_is_taken_away(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A row that comes between the look at the default partition and its CHECK: nothing stays.
    """
    table = made(engine, event_table(default=True, premake=0))
    later = MOMENT + timedelta(days=31)
    shield = upkeep.shield

    def too_late(*given: Any) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO event VALUES (1, '2026-04-05')")
        shield(*given)

    monkeypatch.setattr(upkeep, "shield", too_late)
    left = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'pgultra%%'"
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=later)
        assert not done.complete, str(done)
        assert connection.exec_driver_sql(left).scalar_one() == 0
        connection.exec_driver_sql("INSERT INTO event VALUES (2, '2026-04-06')")
        connection.commit()
        monkeypatch.undo()
        done = partitions.maintain(connection, table.metadata, now=later)
        assert done.complete, str(done)
        count = "SELECT count(*) FROM event_2026_04"
        assert connection.exec_driver_sql(count).scalar_one() == 2


@pytest.mark.slow
def test_every_row_is_seen_all_the_time_by_a_reader(engine: sa.Engine) -> None:
    """
    While rows move and writers write, a reader counts: never one less, never one more.
    """
    table = late(engine, 20_000)
    stop = threading.Event()
    counts: set[tuple[int, int]] = set()
    errors: list[str] = []

    def read() -> None:
        query = sa.text("SELECT count(*), count(DISTINCT id) FROM event WHERE id < 10000")
        with engine.connect() as connection:
            while not stop.is_set():
                counts.add(tuple(connection.execute(query).one()))  # type: ignore[arg-type]
                connection.rollback()

    def write(seed: int) -> None:
        dice = random.Random(seed)
        statements = [
            "UPDATE event SET note = note || '.' WHERE id = :id",
            "UPDATE event SET at = at + interval '9 days' WHERE id = :id",
            "UPDATE event SET id = id + 100000 WHERE id = :id",
            "DELETE FROM event WHERE id = :id",
            "INSERT INTO event VALUES (:id + 200000, '2026-06-30', 'new') ON CONFLICT DO NOTHING",
        ]
        with engine.connect() as connection:
            while not stop.is_set():
                try:
                    with connection.begin() as transaction:
                        for _ in range(3):
                            given = {"id": dice.randrange(10_000, 20_000)}
                            connection.execute(sa.text(dice.choice(statements)), given)
                        if dice.random() < 0.3:
                            transaction.rollback()
                except sa.exc.DBAPIError as error:
                    if "deadlock" not in str(error):
                        errors.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(2)]
    threads += [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    with engine.begin() as connection:  # what the writers do is told by a log of their own
        connection.exec_driver_sql(
            """
            CREATE TABLE shadow AS SELECT id, at, note FROM event;
            ALTER TABLE shadow ADD PRIMARY KEY (id, at);
            CREATE FUNCTION shade() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP <> 'INSERT' THEN DELETE FROM shadow WHERE (id, at) = (OLD.id, OLD.at); END IF;
                IF TG_OP <> 'DELETE' THEN INSERT INTO shadow VALUES (NEW.id, NEW.at, NEW.note); END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER shade AFTER INSERT OR UPDATE OR DELETE ON event
                FOR EACH ROW EXECUTE FUNCTION shade();
            """.replace("%", "%%")
        )
    for thread in threads:
        thread.start()
    try:
        with engine.connect() as connection:
            done = partitions.drain_default(connection, table, now=MOMENT, batch=1000)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert counts == {(10_000, 10_000)}
    assert len(done) >= 5
    with engine.connect() as connection:
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 0
        ours = connection.exec_driver_sql(CHECKSUM.format("event")).one()
        assert ours == connection.exec_driver_sql(CHECKSUM.format("shadow")).one()


@pytest.mark.parametrize("step", ["_prepare", "_copy", "_settle"])
def test_broken_off_and_called_again(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """
    Rows change between the two runs, one of them by TRUNCATE of the default: all come right.
    """
    table = late(engine, 2000)
    real = getattr(draining.Drain, step)

    class PowerCutError(BaseException):
        pass

    def cut(self: Any, *arguments: Any) -> Any:
        real(self, *arguments)
        raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(draining.Drain, step, cut)
        with engine.connect() as connection, pytest.raises(PowerCutError):
            partitions.drain_default(connection, table, now=MOMENT, batch=500)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE event SET note = 'changed' WHERE id < 700")
        connection.exec_driver_sql("DELETE FROM event WHERE id < 300")
        connection.exec_driver_sql("INSERT INTO event VALUES (-5, '2026-06-21', 'new')")
        before = connection.exec_driver_sql(CHECKSUM.format("event")).one()
    with engine.connect() as connection:
        done = partitions.drain_default(connection, table, now=MOMENT, batch=500)
        assert [each.child for each in done] == ["public.event_2026_06", "public.event_2026_07"]
        assert connection.exec_driver_sql(CHECKSUM.format("event")).one() == before
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 0
        assert children(connection, "event") == [
            "event_2026_03",
            "event_2026_06",
            "event_2026_07",
            "event_default",
        ]


def test_what_truncate_took_does_not_come_back(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    TRUNCATE tells no row trigger: the copy's rows go, too.
    """
    table = late(engine, 1000)
    real = draining.Drain._settle
    calls: list[int] = []

    def truncate(self: Any) -> int:
        if not calls:
            calls.append(1)
            with engine.begin() as other:
                other.exec_driver_sql("TRUNCATE event")
                other.exec_driver_sql("INSERT INTO event VALUES (1, '2026-06-21', 'after')")
        return real(self)

    monkeypatch.setattr(draining.Drain, "_settle", truncate)
    with engine.connect() as connection:
        done = partitions.drain_default(connection, table, now=MOMENT)
        assert [each.rows for each in done] == [1]
        notes = connection.exec_driver_sql("SELECT note FROM event").scalars().all()
        assert notes == ["after"]


def test_a_delete_with_an_old_snapshot_is_not_lost(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A REPEATABLE READ transaction that cannot see the copied row is told to try again.
    """
    table = late(engine, 100)
    real = draining.Drain._settle
    failed: list[str] = []
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as old:
        old.exec_driver_sql("SELECT 1 FROM pg_class").all()

        def meanwhile(self: Any) -> int:
            if not failed:
                try:
                    old.exec_driver_sql("DELETE FROM event WHERE id = 5")
                    failed.append("it went through")
                    old.commit()
                except sa.exc.OperationalError as error:
                    failed.append(str(error))
                    old.rollback()
            return real(self)

        monkeypatch.setattr(draining.Drain, "_settle", meanwhile)
        with engine.connect() as connection:
            partitions.drain_default(connection, table, now=MOMENT)
            number = connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one()
    assert "could not serialize" in failed[0]
    assert number == 100


def test_triggers_of_the_host_are_not_told_of_a_move(engine: sa.Engine) -> None:
    """
    To an audit trigger nothing happened; afterwards triggers are as they were.
    """
    table = late(engine, 100)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """
            CREATE TABLE audit (what text);
            CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO audit VALUES (TG_OP); RETURN NULL; END';
            CREATE TRIGGER tell AFTER INSERT OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION tell();
            CREATE TRIGGER tell_always AFTER DELETE ON event FOR EACH ROW EXECUTE FUNCTION tell();
            ALTER TABLE event_default ENABLE ALWAYS TRIGGER tell_always;
            """
        )
        modes = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'event_default'::regclass ORDER BY 1"
        before = connection.exec_driver_sql(modes).all()
    with engine.connect() as connection:
        partitions.drain_default(connection, table, now=MOMENT)
        assert connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one() == 0
        assert connection.exec_driver_sql(modes).all() == before
        connection.exec_driver_sql("DELETE FROM event WHERE id = 1")
        assert connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one() == 2


def test_foreign_keys_from_elsewhere(engine: sa.Engine, owner_engine: sa.Engine) -> None:
    """
    An owner that may not silence triggers is refused; a superuser moves, and references hold.
    """
    table = late(owner_engine, 10)
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE mention (id bigint, at timestamptz, "
            "FOREIGN KEY (id, at) REFERENCES event ON DELETE CASCADE)"
        )
        connection.exec_driver_sql("INSERT INTO mention SELECT id, at FROM event")
    with owner_engine.connect() as connection:
        with pytest.raises(PgultraError, match=r"foreign keys of public\.mention"):
            partitions.drain_default(connection, table, now=MOMENT)
        assert connection.exec_driver_sql("SELECT count(*) FROM mention").scalar_one() == 10
    with engine.connect() as connection:
        partitions.drain_default(connection, table, now=MOMENT)
        assert connection.exec_driver_sql("SELECT count(*) FROM mention").scalar_one() == 10
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 0
        connection.exec_driver_sql("DELETE FROM event WHERE id < 4")
        assert connection.exec_driver_sql("SELECT count(*) FROM mention").scalar_one() == 6


def test_a_writer_without_rights_on_the_copy(engine: sa.Engine, owner_engine: sa.Engine) -> None:
    """
    Who may write the table need not be allowed to write the copy that the trigger writes.
    """
    table = late(owner_engine, 50)
    name = owner_engine.url.username
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name}_clerk")
        connection.exec_driver_sql(f"GRANT ALL ON event TO {name}_clerk")
    try:
        with owner_engine.connect() as connection:
            real = draining.Drain._settle

            def write(self: Any) -> int:
                with engine.begin() as clerk:
                    clerk.exec_driver_sql(f"SET LOCAL ROLE {name}_clerk")
                    clerk.exec_driver_sql("UPDATE event SET note = 'clerk' WHERE id = 7")
                return real(self)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(draining.Drain, "_settle", write)
                partitions.drain_default(connection, table, now=MOMENT)
            note = connection.exec_driver_sql("SELECT note FROM event WHERE id = 7")
            assert note.scalar_one() == "clerk"
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}_clerk")
            connection.exec_driver_sql(f"DROP ROLE {name}_clerk")


def test_what_has_no_key_or_is_too_old_stays(engine: sa.Engine) -> None:
    """
    Rows that retention would take at once make no partition; nor does the end of time.
    """
    table = late(engine, 10, retain="1 month")
    with engine.begin() as connection:
        for at in ("2019-01-01", "infinity", "-infinity", "20000-01-01", "0044-03-15 BC"):
            connection.exec_driver_sql(f"INSERT INTO event VALUES (99, '{at}', 'odd')")
    with engine.connect() as connection:
        done = partitions.drain_default(connection, table, now=MOMENT)
        assert [each.rows for each in done] == [10]
        assert connection.exec_driver_sql(DEFAULT).scalar_one() == 5


def test_rows_that_cannot_be_told_apart_are_refused(engine: sa.Engine) -> None:
    """
    Without a key, the message says what to do, and nothing is changed.
    """
    table = late(engine, 10)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event DROP CONSTRAINT event_pkey")
    with engine.connect() as connection, pytest.raises(PgultraError, match="has no primary key"):
        partitions.drain_default(connection, table, now=MOMENT)


def test_values_of_a_new_group_of_a_list(engine: sa.Engine) -> None:
    """
    A group that was added to the model takes its rows out of the default partition.
    """

    def actions(groups: dict[str, tuple[str, ...]]) -> sa.Table:
        table = sa.Table(
            "action",
            sa.MetaData(),
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("kind", sa.Text, primary_key=True),
        )
        declare(table, ByList("kind", groups, default=True))
        return table

    before = actions({"auth": ("LOGIN", "LOGOUT")})
    with engine.begin() as connection:
        before.metadata.create_all(connection)
        rows = [{"id": n, "kind": kind} for n in range(50) for kind in ("LOGIN", "BUY", "?")]
        connection.execute(before.insert(), rows)
    after = actions({"auth": ("LOGIN", "LOGOUT"), "shop": ("BUY", "SELL")})
    with engine.connect() as connection:
        (done,) = partitions.drain_default(connection, after)
        assert (done.child, done.rows) == ("public.action_shop", 50)
        left = connection.exec_driver_sql("SELECT count(*) FROM ONLY action_default").scalar_one()
        assert left == 50


async def test_drained_by_await(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    """
    With asyncpg.
    """
    table = late(engine, 1000)
    async with async_engine.connect() as connection:
        done = await partitions.drain_default(connection, table, now=MOMENT, batch=100)
    assert [each.rows for each in done] == [1000]
