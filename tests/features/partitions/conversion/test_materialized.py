from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from pgultra import plan
from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from pgultra.sql import qualified, statement
from tests.features.partitions.conversion import views
from tests.features.partitions.conversion.views import contents, left_over, models, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from tests.fixtures.database import Database

PATH = f"SET search_path = {qualified(None, views.SCHEMA)}"
WROTE = f"INSERT INTO {qualified(views.SCHEMA, views.TABLE)} VALUES "


def run(connection: sa.Connection, *texts: str) -> Any:
    """
    Run statements as they are; the result of the last one.
    """
    result = None
    for text in texts:
        result = connection.execute(statement(text))
    return result


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
