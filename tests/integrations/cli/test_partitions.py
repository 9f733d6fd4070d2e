from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database

MODELS = """
import sqlalchemy as sa
from pgultra import declare
from pgultra.features.partitions import ByRange

metadata = sa.MetaData()
event = sa.Table(
    "event", metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
)
declare(event, ByRange("at", every="1 month", premake=1, retain="2 months", on_expire="archive",
                       default=True))
"""


@pytest.fixture
def models(tmp_path: Path, database: Database) -> str:
    """
    A file of models, and their table with a year behind it.
    """
    path = tmp_path / "event_models.py"
    path.write_text(MODELS)
    names: dict[str, Any] = {}
    exec(MODELS, names)
    with database.engine().begin() as connection:
        names["metadata"].create_all(connection)
        connection.exec_driver_sql(
            "CREATE TABLE old PARTITION OF event "
            "FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00')"
        )
        connection.exec_driver_sql("INSERT INTO event VALUES (1, '2020-01-05')")
    return f"{path}:metadata"


@pytest.mark.slow
def test_plan_maintain_and_status(
    run: Callable[..., Any], models: str, database: Database, tmp_path: Path
) -> None:
    """
    A night's run from cron: planned, adopted, archived, and healthy at the end.
    """
    url = ["--url", database.dsn]
    ill = run("partitions", "status", models, *url)
    assert ill.exit_code == 1
    assert "bears no mark" in ill.output
    dry = run("partitions", "adopt", models, "event", "--dry-run", *url)
    assert dry.output.strip() == 'would mark public."old"'
    marked = run("partitions", "adopt", models, *url)
    assert (marked.exit_code, marked.output.strip()) == (0, 'marked public."old"')
    nowhere = run("partitions", "plan", models, *url)
    assert "nothing says where to" in nowhere.output
    folder = tmp_path / "archive"
    place = ["--archive-folder", folder]
    planned = run("partitions", "plan", models, *place, *url)
    assert planned.exit_code == 0
    assert 'detach and archive public."old"' in planned.output
    told = json.loads(run("partitions", "plan", models, "--json", *place, *url).output)
    assert [action["verb"] for action in told["actions"]] == ["create", "create", "archive"]
    done = run("partitions", "maintain", models, *place, *url)
    assert done.exit_code == 0, done.output
    assert "archived 1 rows" in done.output
    assert "3 done" in done.output
    assert [path.name for path in folder.glob("*.gz")] == ["public.old.tsv.gz"]
    well = run("partitions", "status", models, *url)
    assert well.exit_code == 0, well.output
    assert "public.event" in well.output
    (state,) = json.loads(run("partitions", "status", models, "--json", *url).output)
    assert (state["pending"], state["default_rows"], state["gaps"]) == (0, 0, [])
    assert state["runway"] > 0
    assert "nothing to do" in run("partitions", "plan", models, *url).output


def test_a_problem_is_exit_code_1(run: Callable[..., Any], models: str, database: Database) -> None:
    """
    A lock that somebody holds: told, and cron notices.
    """
    engine = database.engine()
    with engine.begin() as connection:
        month = connection.exec_driver_sql(
            "SELECT max(inhrelid::regclass::text) FROM pg_inherits "
            "WHERE inhparent = 'event'::regclass AND inhrelid::regclass::text LIKE 'event_2%%'"
        ).scalar_one()
        connection.exec_driver_sql(f"DROP TABLE {month}")
    with engine.connect() as blocker:
        blocker.exec_driver_sql("LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE")
        done = run(
            "partitions", "maintain", models, "--lock-timeout", "0.05", "--attempts", "1",
            "--url", database.dsn,
        )  # fmt: skip
    assert done.exit_code == 1
    assert "problem: public.event: create partition" in done.output
    assert "1 could not be done" in done.output


def test_drain_from_the_command_line(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Rows beyond the runway get a partition; a table that is not there is named.
    """
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO event VALUES (2, now() + interval '1 year')")
    url = ["--url", database.dsn]
    wrong = run("partitions", "drain", models, "evnt", *url)
    assert wrong.exit_code == 2
    done = run("partitions", "drain", models, "event", *url)
    assert done.exit_code == 0, done.output
    assert "1 rows into public.event_" in done.output
    with engine.connect() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM ONLY event_default")
        assert left.scalar_one() == 0


def test_plan_as_sql_and_two_places(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Statements for those who run them by hand; a schema and a folder at once are refused.
    """
    url = ["--url", database.dsn]
    engine = database.engine()
    with engine.begin() as connection:
        connection.execute(sa.text("COMMENT ON TABLE old IS 'pgultra:default:partitions'"))
    printed = run("partitions", "plan", models, "--sql", "--archive-schema", "attic", *url)
    assert 'ALTER TABLE public.event DETACH PARTITION public."old";' in printed.output
    both = run("partitions", "plan", models, "--archive-schema", "a", "--archive-folder", "b", *url)
    assert both.exit_code == 2
