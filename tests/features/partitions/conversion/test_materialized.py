from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import plan
from pgultra.errors import PgultraError
from pgultra.features.partitions import (
    convert,
    finish_conversion,
    plan_conversion,
    undo_conversion,
)
from pgultra.sql import qualified
from tests.features.partitions.conversion import views
from tests.features.partitions.conversion.apart import apart
from tests.features.partitions.conversion.belongings import run
from tests.features.partitions.conversion.storm import Event
from tests.features.partitions.conversion.test_storm import storm_over
from tests.features.partitions.conversion.views import contents, left_over, models, picture
from tests.fixtures.bystander import bystander

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.database import Database

pytestmark = pytest.mark.slow

PATH = f"SET search_path = {qualified(None, views.SCHEMA)}"
WROTE = f"INSERT INTO {qualified(views.SCHEMA, views.TABLE)} VALUES "


@pytest.fixture
def made(owner_engine: sa.Engine) -> sa.Engine:
    """
    The table and its views, made and owned by a role that may nothing else.
    """
    with owner_engine.begin() as connection:
        views.make(connection)
    return owner_engine


def seen(engine: sa.Engine) -> tuple[dict[str, Any], dict[str, list[str]], list[str]]:
    """
    Everything that can be told of the views, and what is in them, and what should not be there.
    """
    with engine.begin() as connection:
        return picture(connection), contents(connection), left_over(connection)


def dumped(database: Database, pg_dump: Callable[..., str]) -> list[str]:
    """
    What PostgreSQL itself tells of the views and what stands on them, without the order.
    """
    text = pg_dump(database)
    wanted = (
        r"(?i)materialized|partitions_(old|new)|statistics|seen|monthly|a second|Em pty|"
        + re.escape(views.ELSEWHERE)
    )
    parts = [part for part in text.split("\n\n") if re.search(wanted, part)]
    return sorted(re.sub(r"^-- .*\n|^--\n", "", part, flags=re.MULTILINE) for part in parts)


@pytest.mark.parametrize("who", ["owner", "superuser"])
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_materialized_views_come_along(
    made: sa.Engine,
    engine: sa.Engine,
    database: Database,
    pg_dump: Callable[..., str],
    way: str,
    who: str,
) -> None:
    """
    Everything of them is the same after the conversion, after its end, and for pg_dump.
    """
    base, visit = models()
    converter = made if who == "owner" else engine
    before, dump = seen(made), dumped(database, pg_dump)
    assert len(dump) > 30
    assert before[2] == []
    with converter.connect() as connection:
        run(connection, PATH)
        connection.commit()
        convert(connection, visit, way=way)
        assert plan.check(connection, base.metadata).steps == ()
    assert seen(made) == before
    with converter.connect() as connection:
        assert finish_conversion(connection, visit).outcome == "finished"
    assert seen(made) == before
    after = dumped(database, pg_dump)
    assert [part for part in after if part not in dump] == []
    assert [part for part in dump if part not in after] == []


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_materialized_views_come_back(
    made: sa.Engine,
    engine: sa.Engine,
    database: Database,
    pg_dump: Callable[..., str],
    who: str,
) -> None:
    """
    Undone, they read the old table again, and are what they were; with a change made since.
    """
    _, visit = models()
    converter = made if who == "owner" else engine
    before, dump = seen(made), dumped(database, pg_dump)
    with converter.connect() as connection:
        run(connection, PATH)
        connection.commit()
        convert(connection, visit)
    with made.begin() as connection:
        run(connection, PATH, "CREATE INDEX later ON monthly (rows)")
        run(connection, "COMMENT ON MATERIALIZED VIEW monthly IS 'since'")
    with converter.connect() as connection:
        run(connection, PATH)
        connection.commit()
        undo_conversion(connection, visit)
    with made.begin() as connection:
        run(connection, PATH, "DROP INDEX later", "COMMENT ON MATERIALIZED VIEW monthly IS NULL")
    assert seen(made) == before
    assert dumped(database, pg_dump) == dump


@pytest.mark.parametrize("way", ["copy", "attach", "back"])
def test_they_are_refreshed_from_the_table_that_has_the_name(made: sa.Engine, way: str) -> None:
    """
    REFRESH and REFRESH CONCURRENTLY show rows that were written after the conversion.
    """
    _, visit = models()
    with made.connect() as connection:
        run(connection, PATH)
        connection.commit()
        convert(connection, visit, way="attach" if way == "attach" else "copy")
        if way == "back":
            undo_conversion(connection, visit)
        run(connection, f"{WROTE} (5001, '2026-05-20Z', 'new', 8)")
        connection.commit()
        daily = qualified(views.ELSEWHERE, views.DAILY)
        run(connection, f"REFRESH MATERIALIZED VIEW CONCURRENTLY {daily}")
        run(connection, "REFRESH MATERIALIZED VIEW monthly")
        run(connection, 'REFRESH MATERIALIZED VIEW "Em pty"')
        connection.commit()
        day = run(connection, f'SELECT "to tal" FROM {daily} WHERE "d:ay" = \'2026-05-20Z\'')
        assert day.scalars().all() == [4]
        assert (
            run(connection, "SELECT max(rows) FROM seen JOIN monthly USING (month)").scalar()
            == 1001
        )
        assert run(connection, 'SELECT count(*) FROM "Em pty"').scalar() == 1001


SLOW = 0.6
LATE = "INSERT INTO event VALUES (9001, '2026-05-05Z', 'late', 1) ON CONFLICT DO NOTHING"
STAGE = f"""
CREATE FUNCTION slow(n bigint) RETURNS bigint LANGUAGE sql AS 'SELECT n FROM pg_catalog.pg_sleep({SLOW})';
CREATE TABLE broken (id int);
CREATE FUNCTION shaky(n bigint) RETURNS bigint LANGUAGE plpgsql AS
    'BEGIN ASSERT NOT EXISTS (SELECT FROM public.broken), ''it is broken''; RETURN n; END';
CREATE MATERIALIZED VIEW m AS SELECT shaky(count(*)) AS c, now() AS filled FROM event;
"""


@pytest.fixture
def staged(database: Database) -> sa.Engine:
    """
    A plain table with one materialized view, which can be made unfit to be filled.
    """
    storm_over(database, 500)
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(STAGE)
    return engine


@contextmanager
def before_each(engine: sa.Engine, fragment: str, act: Callable[[], object]) -> Iterator[list[str]]:
    """
    Do something whenever the converter is about to send such a statement; these statements.
    """
    said: list[str] = []

    def look(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        if fragment in text:
            said.append(text)
            act()

    sa.event.listen(engine, "before_cursor_execute", look)
    try:
        yield said
    finally:
        sa.event.remove(engine, "before_cursor_execute", look)


def ask(engine: sa.Engine, *texts: str) -> Any:
    """
    Ask in a transaction of its own.
    """
    with engine.begin() as connection:
        found = run(connection, *texts)
        return found.scalar() if found.returns_rows else None


@pytest.mark.parametrize("back", [False, True])
def test_readers_go_on_while_a_view_is_filled(database: Database, back: bool) -> None:
    """
    The view is read all the time, and no reader waits for longer than a rename.
    """
    storm_over(database, 500)
    engine, others = database.engine(), database.engine()
    ask(engine, STAGE.split(";\n")[0].strip())
    ask(engine, "CREATE MATERIALIZED VIEW m AS SELECT slow(count(*)) AS c FROM event")
    over, filling = threading.Event(), threading.Event()
    meanwhile: list[float] = []
    longest = 0.0

    def read() -> None:
        nonlocal longest
        while not over.is_set():
            within, start = filling.is_set(), time.perf_counter()
            assert ask(others, "SELECT c FROM m") == 500
            longest = max(longest, time.perf_counter() - start)
            if within and filling.is_set():
                meanwhile.append(time.perf_counter() - start)
            time.sleep(0.005)  # a reader who leaves others a turn

    with ThreadPoolExecutor(1) as pool, engine.connect() as connection:
        if back:
            convert(connection, Event)
        reader = pool.submit(read)
        with (
            bystander(database.dsn) as someone,
            before_each(engine, "REFRESH", filling.set),
            before_each(engine, "ANALYZE", filling.clear),
        ):
            done = (undo_conversion if back else convert)(connection, Event)
        over.set()
        reader.result()
    assert done.longest_wait < SLOW + someone.longest
    assert len(meanwhile) > 10
    assert longest < SLOW + someone.longest


def test_who_refreshes_meanwhile_loses_nothing(staged: sa.Engine, database: Database) -> None:
    """
    A view that was refreshed between the fill and the rename is filled again; but not for ever.
    """
    others = database.engine()
    ask(others, "SELECT 1")
    times = iter([True])
    filled: list[Any] = []

    def refresh() -> None:
        if next(times, False):
            ask(others, LATE)
            ask(others, "REFRESH MATERIALIZED VIEW m")
            filled.append(ask(others, "SELECT filled FROM m"))

    with staged.connect() as connection:
        with (
            before_each(staged, "public.m OWNER TO", refresh),
            before_each(staged, "REFRESH", lambda: None) as said,
        ):
            convert(connection, Event)
        assert len(said) == 2
        assert ask(others, "SELECT c FROM m") == 501
        assert ask(others, "SELECT filled FROM m") > filled[0]
        times = iter([True] * 10)
        with (
            before_each(staged, "public.m OWNER TO", refresh),
            before_each(staged, "REFRESH", lambda: None) as said,
        ):
            ask(others, "DELETE FROM event WHERE id = 9001")
            undo_conversion(connection, Event)
        assert len(said) == 3


def test_a_view_that_is_altered_meanwhile_is_made_as_it_is(
    staged: sa.Engine, database: Database
) -> None:
    """
    An index and a right that came between fill and rename come along; without an end, it is said.
    """
    others = database.engine()
    names = iter(["later"])

    def alter() -> None:
        for name in names:
            ask(others, f"CREATE INDEX {name} ON m (c)", "GRANT SELECT ON m TO pg_monitor")
            break

    with staged.connect() as connection:
        with before_each(staged, "public.m OWNER TO", alter):
            convert(connection, Event)
        names = iter("abcdefg")
        with (
            before_each(staged, "public.m OWNER TO", alter),
            pytest.raises(PgultraError, match=r"public\.m is altered again and again"),
        ):
            undo_conversion(connection, Event)
        undo_conversion(connection, Event)
    text = "SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index WHERE indrelid = 'm'::regclass"
    assert ask(others, text) == "a b c later"
    assert ask(others, "SELECT has_table_privilege('pg_monitor', 'm', 'SELECT')") is True


def test_views_that_come_meanwhile_are_turned_too(staged: sa.Engine, database: Database) -> None:
    """
    One made on a view after the names were exchanged is found when that view takes its name.
    """
    others = database.engine()
    texts = iter(
        [
            "CREATE MATERIALIZED VIEW late AS SELECT c + 1 AS d FROM m",
            "CREATE VIEW p AS SELECT c FROM m",
        ]
    )

    def come() -> None:
        for text in texts:
            ask(others, text)

    with staged.connect() as connection:
        with before_each(staged, "public.m OWNER TO", come):
            convert(connection, Event)
        finish_conversion(connection, Event)
    ask(others, LATE)
    ask(others, "REFRESH MATERIALIZED VIEW m", "REFRESH MATERIALIZED VIEW late")
    assert (ask(others, "SELECT c FROM p"), ask(others, "SELECT d FROM late")) == (501, 502)


@pytest.mark.parametrize("back", [False, True])
def test_a_view_that_cannot_be_filled(staged: sa.Engine, back: bool) -> None:
    """
    It is said, the table works, and both ways are open once it is mended, or dropped.
    """
    ask(staged, "INSERT INTO broken VALUES (1)")
    with staged.connect() as connection:
        for _ in range(2):
            with pytest.raises(
                PgultraError, match=r"(?s)public\.m could not .* it is broken.*start"
            ):
                convert(connection, Event)
            ask(staged, LATE)
        assert ask(staged, "SELECT relkind FROM pg_class WHERE relname = 'event'") == "p"
        assert ask(staged, "SELECT c FROM m") == 500
        if back:
            undo_conversion(connection, Event)
            ask(staged, "TRUNCATE broken")
            convert(connection, Event)
            ask(staged, "INSERT INTO broken VALUES (1)")
            with pytest.raises(PgultraError, match="it is broken"):
                undo_conversion(connection, Event)
            assert ask(staged, "SELECT relkind FROM pg_class WHERE relname = 'event'") == "r"
            ask(staged, "DROP MATERIALIZED VIEW m")
            undo_conversion(connection, Event)
        else:
            ask(staged, "TRUNCATE broken")
            convert(connection, Event)
            assert ask(staged, "SELECT c FROM m") == 501
            finish_conversion(connection, Event)
    with staged.begin() as connection:
        assert left_over(connection) == []


@pytest.mark.parametrize("name", ["m_partitions_new", "m_partitions_old"])
def test_a_name_that_is_taken_is_nobody_elses(staged: sa.Engine, name: str) -> None:
    """
    What has it would be taken for a leftover: it is said, at the start and at the exchange.
    """
    texts = iter([f"CREATE MATERIALIZED VIEW {name} AS SELECT 1"])

    def take(step: str) -> None:
        if step == "exchange":
            for text in texts:
                ask(staged, text)

    with staged.connect() as connection:
        ask(staged, f"CREATE TABLE {name} ()")
        with pytest.raises(PgultraError, match=f"public.{name} is in the way of materialized"):
            convert(connection, Event)
        assert ask(staged, "SELECT to_regclass('event_partitions_new')") is None
        ask(staged, f"DROP TABLE {name}")
        with pytest.raises(PgultraError, match=f"public.{name} is in the way of materialized"):
            convert(connection, Event, announce=take)
        assert ask(staged, "SELECT relkind FROM pg_class WHERE relname = 'event'") == "r"
        ask(staged, f"ALTER MATERIALIZED VIEW {name} RENAME TO other")
        convert(connection, Event)
        finish_conversion(connection, Event)
    assert ask(staged, "SELECT * FROM other") == 1


def test_each_is_filled_after_all_that_it_reads(staged: sa.Engine) -> None:
    """
    Also if a plain view lies between them, and whatever they are called.
    """
    ask(staged, "CREATE VIEW between_them AS SELECT c FROM m")
    ask(
        staged,
        "CREATE MATERIALIZED VIEW a AS SELECT b.c, count(*) FROM between_them AS b, event GROUP BY 1",
    )
    ask(staged, LATE)
    with staged.connect() as connection:
        convert(connection, Event)
        assert [*run(connection, "SELECT a.c, a.count, m.c FROM a, m").one()] == [501, 501, 501]
        connection.rollback()
        ask(staged, "DELETE FROM event WHERE id = 9001")
        undo_conversion(connection, Event)
        assert [*run(connection, "SELECT a.c, a.count, m.c FROM a, m").one()] == [500, 500, 500]


def test_views_made_since_come_back_too(staged: sa.Engine) -> None:
    """
    One that was made when the new table had the name reads the old one after undo_conversion.
    """
    with staged.connect() as connection:
        convert(connection, Event)
        ask(staged, "CREATE MATERIALIZED VIEW since AS SELECT count(*) AS c FROM event")
        undo_conversion(connection, Event)
        ask(staged, LATE, "REFRESH MATERIALIZED VIEW since")
        assert ask(staged, "SELECT c FROM since") == 501
        convert(connection, Event)
        finish_conversion(connection, Event)
    with staged.begin() as connection:
        assert left_over(connection) == []


def test_functions_are_found_where_the_caller_finds_them(database: Database) -> None:
    """
    Before PostgreSQL 17, REFRESH has the search_path of its caller, and so has the conversion.
    """
    if database.server.version >= 17:
        pytest.skip("REFRESH finds nothing by the search_path any more")
    storm_over(database, 500)
    engine = database.engine()
    with engine.connect() as connection:
        run(
            connection,
            "CREATE FUNCTION counted() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM event); END'",
            "CREATE MATERIALIZED VIEW m AS SELECT counted() AS c, count(*) FROM event",
        )
        connection.commit()
        convert(connection, Event)
        assert ask(engine, "SELECT c FROM m") == 500
        finish_conversion(connection, Event)


async def test_with_asyncpg(staged: sa.Engine, database: Database) -> None:
    """
    The same on an asynchronous connection.
    """
    engine = database.async_engine()
    async with engine.connect() as connection:
        await convert(connection, Event)
        await undo_conversion(connection, Event)
        await convert(connection, Event)
        await finish_conversion(connection, Event)
    await engine.dispose()
    ask(staged, LATE, "REFRESH MATERIALIZED VIEW m")
    assert ask(staged, "SELECT c FROM m") == 501


def test_the_plan_shows_what_is_done(made: sa.Engine) -> None:
    """
    Every statement about a view that the conversion sends is in the plan, with its lock.
    """
    _, visit = models()
    with made.connect() as connection:
        planned = plan_conversion(connection, visit)
        shown = {act.text for step in planned.steps for act in step.acts}
        with before_each(made, "", lambda: None) as said:
            convert(connection, visit)
    sent = [text for message in said for text in apart(message)]
    ours = [text for text in sent if "MATERIALIZED" in text and "SELECT p" not in text]
    kept = [text for text in ours if "DROP" not in text]
    assert len(kept) > 30
    assert [text for text in kept if text not in shown] == []
    assert "-- ACCESS EXCLUSIVE on the materialized view\n" in str(planned)
    assert any("is filled anew after the exchange" in note for note in planned.notes)


def test_views_under_load(database: Database) -> None:
    """
    Writers, readers of the view and one who refreshes it all the time: nobody is told of an error.
    """
    storm = storm_over(database, 5_000)
    engine, others = database.engine(), database.engine()
    ask(engine, "CREATE MATERIALIZED VIEW m AS SELECT kind, count(*) AS c FROM event GROUP BY 1")
    ask(engine, "CREATE UNIQUE INDEX ON m (kind)")
    ask(engine, "CREATE VIEW above AS SELECT sum(c) AS c FROM m")
    over = threading.Event()
    longest = 0.0

    def read() -> int:
        nonlocal longest
        count = 0
        while not over.is_set():
            start = time.perf_counter()
            assert ask(others, "SELECT c FROM above") > 0
            longest = max(longest, time.perf_counter() - start)
            count += 1
            time.sleep(0.01)  # so that the one who waits for the lock has a turn
        return count

    def refresh() -> int:
        count = 0
        while not over.is_set():
            ask(others, f"REFRESH MATERIALIZED VIEW {'CONCURRENTLY' * (count % 2)} m")
            count += 1
            time.sleep(0.05)  # REFRESH locks out everybody; else nobody would read
        return count

    with ThreadPoolExecutor(2) as pool, engine.connect() as connection, storm.blowing(4, 1):
        futures = [pool.submit(read), pool.submit(refresh)]
        try:
            for act in (convert, undo_conversion, convert, finish_conversion):
                act(connection, Event)
        finally:
            over.set()
        assert all(future.result() > 5 for future in futures)
    assert storm.errors == []
    assert longest < storm.allowed
    ask(engine, "REFRESH MATERIALIZED VIEW m")
    assert ask(engine, "SELECT c FROM above") == ask(engine, "SELECT count(*) FROM shadow")
