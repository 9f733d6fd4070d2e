"""
A check asks, and touches nothing: no lock, no trace, no transaction but its own.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from pgultra import Check, Index, Trigger, View, declare, plan
from pgultra.integrations import embedded
from pgultra.integrations.embedded import PrivateServer
from tests.laws.samples import Place, everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.database import Database

LOCKS = """
SELECT DISTINCT c.relname, l.mode
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE l.pid = :pid AND l.mode <> 'AccessShareLock'
    AND n.nspname !~ '^pg_temp' AND n.nspname <> 'pg_catalog' AND n.nspname <> 'pg_toast'
"""
LEFT = """
SELECT 'relation ' || relname FROM pg_class
WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_temp')
    OR relname ~ 'pgultra_twin'
UNION ALL
SELECT 'function ' || proname FROM pg_proc WHERE proname ~ 'pgultra_twin'
"""


def changed(place: Place = Place()) -> sa.MetaData:  # noqa: B008  # frozen
    """
    A model that differs from the database in every text that must be printed by the server.
    """
    metadata = everything(place)
    article = next(t for t in metadata.tables.values() if t.name == place.name("article"))
    index = sa.Index("ix_new", article.c[place.name("title")], postgresql_where=sa.text("true"))
    common = {"table": article.name, "schema": article.schema}
    declare(
        article,
        Index.of(index),
        Check(name="new", condition="true", **common),
        View(name="new", schema=place.schema, query=sa.select(article)),
        Trigger(
            name="new",
            timing="BEFORE",
            events=("INSERT",),
            when="new is not null",
            function=place.name("touch"),
            **common,
        ),
    )
    return metadata


def drifted(engine: sa.Engine) -> sa.MetaData:
    """
    A database in which every kind was made by hand, a little differently.
    """
    everything(Place()).create_all(engine)
    with engine.begin() as connection:
        for statement in (
            "CREATE INDEX ix_new ON article (title) WHERE false",
            "ALTER TABLE article ADD CONSTRAINT new CHECK (false) NOT VALID",
            "CREATE VIEW new AS SELECT 1 AS one",
            (
                "CREATE TRIGGER new BEFORE INSERT ON article FOR EACH ROW "
                "WHEN (new IS NULL) EXECUTE FUNCTION touch()"
            ),
            "COMMENT ON INDEX ix_new IS 'pgultra:default:declared'",
            "COMMENT ON CONSTRAINT new ON article IS 'pgultra:default:declared'",
            "COMMENT ON VIEW new IS 'pgultra:default:declared'",
            "COMMENT ON TRIGGER new ON article IS 'pgultra:default:declared'",
            "COMMENT ON VIEW joined IS 'pgultra:default:declared'",
            "COMMENT ON INDEX ix_live IS 'pgultra:default:declared'",
        ):
            connection.exec_driver_sql(statement)
    return changed()


def verbs(found: plan.Plan) -> set[tuple[str, str]]:
    """
    What a plan does, by name.
    """
    return {(step.verb, step.identity.name) for step in found}


def test_a_check_locks_nothing_above_access_share(engine: sa.Engine) -> None:
    """
    After each of its statements, another session sees no stronger lock on any user relation.
    """
    metadata = drifted(engine)
    seen: set[tuple[str, str]] = set()
    count = 0
    with engine.connect() as watcher, engine.connect() as connection:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))

        def look(*arguments: object) -> None:
            nonlocal count
            count += 1
            seen.update(map(tuple, watcher.execute(sa.text(LOCKS), {"pid": pid})))

        event.listen(connection, "after_cursor_execute", look)
        found = plan.check(connection, metadata)
        event.remove(connection, "after_cursor_execute", look)
    assert len(verbs(found)) >= 4
    assert count > 5
    assert seen == set()


def test_a_check_does_not_wait_for_writers(engine: sa.Engine) -> None:
    """
    A session that holds ROW EXCLUSIVE, or even SHARE UPDATE EXCLUSIVE, does not stop it.
    """
    metadata = drifted(engine)
    with engine.begin() as other, engine.connect() as connection:
        other.exec_driver_sql("INSERT INTO author (id) VALUES (1)")
        other.exec_driver_sql("LOCK TABLE article IN SHARE UPDATE EXCLUSIVE MODE")
        connection.exec_driver_sql("SET lock_timeout = '2s'")
        connection.commit()
        assert plan.check(connection, metadata)


def test_a_check_leaves_nothing_behind(engine: sa.Engine) -> None:
    """
    No twin, no setting, no open transaction.
    """
    metadata = drifted(engine)
    settings = sa.text("SELECT name, setting FROM pg_settings ORDER BY name")
    with engine.connect() as connection:
        before = connection.execute(settings).all()
        connection.commit()
        assert plan.check(connection, metadata)
        assert not connection.in_transaction()
        with connection.begin():
            assert connection.execute(sa.text(LEFT)).all() == []
            assert connection.execute(settings).all() == before


@pytest.mark.slow
def test_a_check_under_autocommit(database: Database) -> None:
    """
    On an engine in AUTOCOMMIT it opens a transaction of its own, and ends it.
    """
    metadata = drifted(database.engine())
    expected = verbs(checked(database.engine(), metadata))
    for engine in (
        database.engine(isolation_level="AUTOCOMMIT"),
        database.engine().execution_options(isolation_level="AUTOCOMMIT"),
        database.engine(connect_args={"autocommit": True}),
    ):
        with engine.connect() as connection:
            assert verbs(plan.check(connection, metadata)) == expected
            raw = connection.connection.dbapi_connection
            assert raw.info.transaction_status.name == "IDLE"
            assert connection.execute(sa.text(LEFT)).all() == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_check_under_autocommit_and_asyncio(database: Database, driver: str) -> None:
    """
    The same for async engines.
    """
    metadata = drifted(database.engine())
    expected = verbs(checked(database.engine(), metadata))
    engine = database.async_engine(driver, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        assert verbs(await connection.run_sync(plan.check, metadata)) == expected
        assert (await connection.execute(sa.text(LEFT))).all() == []
        assert await connection.scalar(sa.text("SELECT pg_current_xact_id_if_assigned()")) is None


def checked(engine: sa.Engine, metadata: sa.MetaData) -> plan.Plan:
    with engine.connect() as connection:
        return plan.check(connection, metadata)


def test_a_check_within_a_transaction(engine: sa.Engine) -> None:
    """
    The caller's transaction goes on: what it wrote stays, and it sees what it made itself.
    """
    metadata = drifted(engine)
    with engine.connect() as connection:
        transaction = connection.begin()
        connection.exec_driver_sql("INSERT INTO author (id) VALUES (7)")
        connection.exec_driver_sql("SET LOCAL work_mem = '9MB'")
        connection.exec_driver_sql("DROP VIEW above")
        found = plan.check(connection, metadata)
        assert ("create", "above") in verbs(found)
        assert transaction.is_active
        assert connection.scalar(sa.text("SHOW work_mem")) == "9MB"
        assert connection.scalar(sa.text("SELECT id FROM author")) == 7
        transaction.commit()
        assert connection.scalar(sa.text("SELECT id FROM author")) == 7


def test_a_check_within_a_savepoint(engine: sa.Engine) -> None:
    """
    A caller's error before and after does not change what its savepoints do.
    """
    metadata = drifted(engine)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO author (id) VALUES (1)")
        with pytest.raises(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql("INSERT INTO author (id) VALUES (1)")
        assert plan.check(connection, metadata)
        with pytest.raises(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql("INSERT INTO author (id) VALUES (2), (1)")
        with connection.begin_nested():
            assert plan.check(connection, metadata)
            connection.exec_driver_sql("INSERT INTO author (id) VALUES (3)")
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT id FROM author ORDER BY id")).all() == [1, 3]


def test_a_check_in_a_failed_transaction_says_so(engine: sa.Engine) -> None:
    """
    PostgreSQL's own message comes through, and the caller can roll back.
    """
    metadata = drifted(engine)
    with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("SELECT 1/0")
        with pytest.raises(DBAPIError, match="current transaction is aborted"):
            plan.check(connection, metadata)
        connection.rollback()
        assert plan.check(connection, metadata)


def test_an_error_inside_leaves_the_transaction_usable(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What breaks while twins stand does not leave them, nor the search_path, behind.
    """
    metadata = drifted(engine)

    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(View, "printed_forms", broken)
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("INSERT INTO author (id) VALUES (1)")
        with pytest.raises(RuntimeError):
            plan.check(connection, metadata)
        assert connection.scalar(sa.text("SHOW search_path")) == '"$user", public'
        assert connection.execute(sa.text(LEFT)).all() == []
        assert connection.scalar(sa.text("SELECT count(*) FROM author")) == 1


def test_a_check_that_may_not_write(engine: sa.Engine) -> None:
    """
    In a read-only transaction it answers by fingerprints, and says what it could not see.
    """
    everything(Place()).create_all(engine)
    metadata = everything(Place())
    with engine.connect() as connection:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        found = plan.check(connection, metadata)
        assert list(map(str, found)) == []
        assert found.weaker
        connection.rollback()
        assert plan.check(connection, metadata).weaker == ()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER before ON article")
        connection.exec_driver_sql("ALTER FUNCTION touch() STABLE")
        connection.exec_driver_sql("DROP VIEW above")
        connection.exec_driver_sql("CREATE VIEW above AS SELECT 1 AS n")
    read_only = engine.execution_options(postgresql_readonly=True)
    with read_only.connect() as connection:
        found = plan.check(connection, metadata)
    assert verbs(found) >= {("create", "before"), ("replace", "touch()")}


def test_a_role_without_temp(engine: sa.Engine, owner_engine: sa.Engine) -> None:
    """
    A role that may neither make temporary tables nor read the tables gives weaker answers.
    """
    everything(Place()).create_all(engine)
    role = owner_engine.url.username
    with engine.begin() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.exec_driver_sql(f"ALTER DATABASE {name} OWNER TO postgres")
        connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {name} TO {role}")
    found = checked(owner_engine, everything(Place()))
    assert list(map(str, found)) == []
    assert found.weaker
    with engine.begin() as connection:
        connection.exec_driver_sql(f"GRANT TEMPORARY ON DATABASE {name} TO {role}")
        connection.exec_driver_sql("COMMENT ON VIEW joined IS NULL")
    found = checked(owner_engine, everything(Place()))
    assert "changed" not in "".join(found.conflicts)


@pytest.mark.slow
def test_concurrent_checks_do_not_meet(engine: sa.Engine) -> None:
    """
    Twins of two sessions have the same names, and live in temporary schemas of their own.
    """
    metadata = drifted(engine)
    expected = verbs(checked(engine, metadata))
    found: list[object] = []

    def run() -> None:
        found.extend(verbs(checked(engine, metadata)) for _ in range(3))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 12


class Standby(PrivateServer):
    """
    A cluster made by pg_basebackup, which follows its primary.
    """

    def __init__(self, binaries: Path, primary: str) -> None:
        super().__init__(binaries)
        self.primary = primary

    def _initialise(self, account: object) -> None:
        embedded._run(
            [
                self.binaries / "pg_basebackup",
                f"--pgdata={self.folder / 'data'}",
                f"--dbname={self.primary}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            account,
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(f"unix_socket_directories = '{self.folder}'\n")


@pytest.fixture
def standby(database: Database) -> Iterator[Callable[[], sa.Engine]]:
    """
    `standby()`: an engine on a hot standby that has replayed all that was committed until now.
    """
    server = database.server
    programs = server.binaries
    if programs is None or not (programs / "pg_basebackup").exists() or not server.throw_away:
        pytest.skip("makes a standby: needs pg_basebackup and a private cluster")
    primary = f"host={server.address.query['host']} user=postgres dbname=postgres"
    with Standby(programs, primary) as copy:
        engine = sa.create_engine(copy.url(database.name))

        def caught_up() -> sa.Engine:
            with database.engine().connect() as connection:
                position = connection.scalar(sa.text("SELECT pg_current_wal_insert_lsn()::text"))
                connection.execute(sa.text("SELECT pg_current_xact_id()"))
                connection.commit()
            with engine.connect() as connection:
                for _ in range(500):
                    replayed = connection.scalar(
                        sa.text("SELECT pg_last_wal_replay_lsn() >= CAST(:lsn AS pg_lsn)"),
                        {"lsn": position},
                    )
                    connection.rollback()
                    if replayed:
                        return engine
                    time.sleep(0.02)
            raise AssertionError("the standby does not follow")

        yield caught_up
        engine.dispose()


@pytest.mark.slow
def test_a_check_on_a_standby(engine: sa.Engine, standby: Callable[[], sa.Engine]) -> None:
    """
    A replica answers by fingerprints: no false alarm, and what is missing or edited is seen.
    """
    metadata = everything(Place())
    metadata.create_all(engine)
    found = checked(standby(), metadata)
    assert list(map(str, found)) == list(found.conflicts) == []
    assert found.weaker
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER before ON article")
        connection.exec_driver_sql("ALTER TABLE article DISABLE TRIGGER late")
        connection.exec_driver_sql("ALTER FUNCTION touch() STABLE")
        connection.exec_driver_sql("DROP INDEX ix_live")
        connection.exec_driver_sql("COMMENT ON VIEW checked IS NULL")
    found = checked(standby(), metadata)
    assert verbs(found) >= {
        ("create", "before"),
        ("replace", "late"),
        ("replace", "touch()"),
        ("create", "ix_live"),
    }
