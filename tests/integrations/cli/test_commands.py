from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.plan import check
from tests.plan.visits import make_by_hand, visits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    from tests.fixtures.database import Database


def test_sql_is_a_script(
    run: Callable[..., Result],
    models: Path,
    database: Database,
    psql: Callable[[Database, str], str],
) -> None:
    """
    What `pgultra sql` prints runs in psql, and makes all that was declared.
    """
    result = run("sql", f"{models}:Base")
    assert result.exit_code == 0
    psql(database, result.output)
    with database.engine().connect() as connection:
        assert not check(connection, visits())
        assert sa.inspect(connection).has_table("person")


def test_sql_without_tables(run: Callable[..., Result], models: Path) -> None:
    """
    --only-objects leaves out what is SQLAlchemy's.
    """
    result = run("sql", f"{models}:Base", "--only-objects")
    assert "CREATE VIEW far" in result.output
    assert "CREATE TABLE" not in result.output


def test_list_shows_what_is_declared(run: Callable[..., Result], models: Path) -> None:
    """
    By room and table, as text and as JSON; no database is asked.
    """
    text = run("list", f"{models}:metadata").output
    assert "declared" in text
    assert "visit" in text
    assert "3 objects" in text
    found = json.loads(run("list", f"{models}:metadata", "--json").output)
    assert {"kind": "trigger", "name": "seen", "table": "visit"}.items() <= found[-1].items()


@pytest.mark.usefixtures("made")
def test_list_shows_what_is_there(run: Callable[..., Result], url: str) -> None:
    """
    Without PATH the database is asked for what bears a mark.
    """
    found = json.loads(run("list", "--json", "--url", url).output)
    assert {(each["room"], each["name"]) for each in found} == {
        ("declared", "touch()"),
        ("declared", "far"),
        ("declared", "seen"),
    }


@pytest.mark.usefixtures("made")
def test_check_finds_nothing(
    run: Callable[..., Result], models: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Exit code 0 and two words; the address may come from the environment.
    """
    monkeypatch.setenv("DATABASE_URL", url)
    result = run("check", f"{models}:metadata")
    assert (result.exit_code, result.output) == (0, "no drift\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@localhost:1/nothing")
    monkeypatch.setenv("PGULTRA_URL", url)
    assert run("check", f"{models}:both").exit_code == 0


@pytest.mark.usefixtures("made")
def test_check_shows_drift(
    run: Callable[..., Result], models: Path, url: str, engine: sa.Engine
) -> None:
    """
    Exit code 1, and a diff of each object that differs.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE visit DISABLE TRIGGER seen")
        connection.exec_driver_sql("DROP VIEW far")
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 1
    assert "missing: view far (declared)" in result.output
    assert "-ALTER TABLE visit DISABLE TRIGGER seen;" in result.output
    assert "drift: 2 to repair" in result.output
    found = json.loads(run("check", f"{models}:metadata", "--url", url, "--json").output)
    assert {step["verb"] for step in found["steps"]} == {"create", "replace"}


def test_check_of_a_database_that_pgultra_never_migrated(
    run: Callable[..., Result], models: Path, url: str, engine: sa.Engine
) -> None:
    """
    Alembic without the line in `env.py` makes tables alone, however often it is called.
    """
    hint = "see that env.py says `import pgultra.integrations.alembic`"
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE visit (id int PRIMARY KEY)")
    assert hint in run("check", f"{models}:metadata", "--url", url).output
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA other")
        connection.exec_driver_sql("DROP TABLE visit")
    visits().create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW far")
    assert hint not in run("check", f"{models}:metadata", "--url", url).output


def test_check_says_what_is_in_the_way(
    run: Callable[..., Result], models: Path, url: str, engine: sa.Engine
) -> None:
    """
    A stranger under a declared name is drift, too, with the command that hands it over.
    """
    with engine.begin() as connection:
        make_by_hand(connection, visits())
        connection.exec_driver_sql("CREATE OR REPLACE VIEW far AS SELECT id, name FROM visit")
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 1
    assert "in the way, and not made by pgultra:" in result.output
    assert f"pgultra adopt {models}:metadata NAME --different" in result.output


def test_check_says_what_a_superuser_must_run(
    run: Callable[..., Result], models: Path, url: str
) -> None:
    """
    An extension that the server lacks is named, with the command.
    """
    models.write_text(
        "import sqlalchemy as sa\nfrom pgultra import Extension, declare\n"
        "metadata = sa.MetaData()\ndeclare(metadata, Extension(name='nowhere'))\n"
    )
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 1
    assert "the server does not have its files" in result.output
    assert "CREATE EXTENSION nowhere;" in result.output
    found = json.loads(run("check", f"{models}:metadata", "--url", url, "--json").output)
    assert found["extensions"][0]["on_disk"] is False


@pytest.mark.usefixtures("made")
def test_another_schema_of_the_same_application_is_no_drift(
    run: Callable[..., Result], models: Path, url: str, engine: sa.Engine
) -> None:
    """
    A schema for each tenant: those that the models do not name are not theirs to judge.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant; SET LOCAL search_path = tenant")
        visits().create_all(connection)
    assert run("check", f"{models}:metadata", "--url", url).exit_code == 0


def test_adopt_tells_what_it_did(
    run: Callable[..., Result], models: Path, url: str, engine: sa.Engine
) -> None:
    """
    What is equal is marked, what differs is refused with exit code 1, then handed over.
    """
    with engine.begin() as connection:
        make_by_hand(connection, visits())
        connection.exec_driver_sql("CREATE OR REPLACE VIEW far AS SELECT id, name FROM visit")
    path = f"{models}:metadata"
    trial = run("adopt", path, "--all", "--dry-run", "--url", url)
    assert "would be marked: trigger seen on visit" in trial.output
    assert "2 would be adopted, 1 refused" in trial.output
    result = run("adopt", path, "--all", "--url", url)
    assert result.exit_code == 1
    assert "marked: trigger seen on visit" in result.output
    assert "refused: view far (it differs" in result.output
    handed = run("adopt", path, "far", "--different", "--url", url, "--json")
    assert handed.exit_code == 0
    assert json.loads(handed.output)[0]["outcome"] == "handed over"
    after = run("check", path, "--url", url)
    assert "drift: 1 to repair" in after.output
    rest = run("adopt", path, "--all", "--url", url)
    assert (rest.exit_code, "nothing to adopt" in rest.output) == (0, True)
