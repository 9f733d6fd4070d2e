from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pgultra.integrations.cli.app import app
from pgultra.integrations.cli.database import AddressError, address_of
from pgultra.plan import check
from tests.plan.visits import make_by_hand, visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result

    from tests.fixtures.database import Database

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.plan.visits import visits

metadata = visits()
empty = sa.MetaData()
both = [metadata, empty]
number = 42


class Base(DeclarativeBase):
    metadata = metadata


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """
    `run("check", "app.py:Base")`: a command in this process, without PGULTRA_URL.
    """
    for name in ("PGULTRA_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)

    return invoke


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A file with models; what the command line puts on the Python path is taken off again.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    path = tmp_path / "host_models.py"
    path.write_text(MODELS)
    yield path
    for name in set(sys.modules) - known:
        if name.startswith("host_"):
            del sys.modules[name]


@pytest.fixture
def url(database: Database) -> str:
    """
    The address of the fresh database, without a driver, as other programs have it.
    """
    return database.dsn


@pytest.fixture
def made(engine: sa.Engine) -> sa.MetaData:
    """
    The same models, created in the fresh database.
    """
    metadata = visits()
    metadata.create_all(engine)
    return metadata


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "host_nowhere:Base"], "no module 'host_nowhere'"),
        (["check", "nowhere/models.py:Base"], "there is no file"),
        (["check", "{models}:Bass"], "has no 'Bass'; it has"),
        (["check", "{models}:number"], "not a declarative base, a MetaData or a list of them"),
        (["check", "{models}"], "module:attribute or path/to/file.py:attribute"),
        (["check", "{models}:metadata"], "no database was named"),
        (["check", "{models}:metadata", "--url", "mysql://me@host/db"], "PostgreSQL only"),
        (["check", "{models}:metadata", "--url", "not an address"], "--url cannot be read"),
        (["list", "{models}:empty"], "nothing is declared"),
        (["adopt", "{models}:metadata"], "say what to adopt"),
        (["adopt", "{models}:metadata", "far", "--all"], "--all takes no NAMEs"),
        (["adopt", "{models}:metadata", "fra", "--url", "{url}"], "nothing named 'fra'"),
        (["demo", "--keep"], "--keep needs --url"),
    ],
)
def test_errors_are_said_in_words(
    run: Callable[..., Result], models: Path, url: str, arguments: list[str], words: str
) -> None:
    """
    Exit code 2, one message that says what is wrong, and no traceback.
    """
    result = run(*(each.format(models=models, url=url) for each in arguments))
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import host_lacking", "ModuleNotFoundError: No module named 'host_lacking'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit", "cannot be imported: SystemExit"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_models_that_cannot_be_imported(
    run: Callable[..., Result], models: Path, source: str, words: str
) -> None:
    """
    The error in the host's own code is named with its file.
    """
    models.write_text(source)
    result = run("list", f"{models}:Base")
    assert result.exit_code == 2
    assert words in result.output
    assert "host_models.py" in result.output


def test_models_that_contradict_themselves(
    run: Callable[..., Result], models: Path, url: str
) -> None:
    """
    A DeclarationError is the user's to repair: its message, and no traceback.
    """
    models.write_text(
        MODELS + "from pgultra import View, declare\n"
        "declare(metadata, View(name='far', query='SELECT 1'))\n"
    )
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 2
    assert "two different declarations of view far" in result.output


def test_files_in_packages_and_modules_here(
    run: Callable[..., Result], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file in a package may import its neighbours; a module is found in the current folder.
    """
    package = models.parent / "host_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tables.py").write_text("from .inner import metadata")
    (package / "inner.py").write_text(MODELS)
    assert run("list", f"{package / 'tables.py'}:metadata").exit_code == 0
    monkeypatch.chdir(models.parent)
    assert run("list", "host_models:Base").exit_code == 0
    assert run("list", "host_package.inner:Base.metadata").exit_code == 0


def test_a_file_called_like_a_loaded_module(run: Callable[..., Result], models: Path) -> None:
    """
    A file named json.py is not taken for the module of that name.
    """
    path = models.with_name("json.py")
    path.write_text(MODELS)
    assert run("list", f"{path}:metadata").exit_code == 0
    del sys.modules["json_of_pgultra"]


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgres://me@host/db", "psycopg"),
        ("postgresql://me@host/db", "psycopg"),
        ("postgresql+asyncpg://me@host/db", "psycopg"),
        ("postgresql+psycopg2://me@host/db", "psycopg2"),
    ],
)
def test_a_driver_is_chosen(text: str, driver: str) -> None:
    """
    An address without a driver, or with an async one, gets psycopg; another one is kept.
    """
    assert address_of(text).drivername == f"postgresql+{driver}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:top-secret@localhost:1/db",
        "postgresql://me:top-secret@[::1/db",
        "postgresql://me:top@secret@localhost:1/db",
        "postgresql://me@localhost:1/db?password=top-secret",
        "postgresql://me:top-secret@localhost:1/db?no_such_option=top-secret",
        "postgresql+nodriver://me:top-secret@localhost/db",
    ],
)
def test_no_password_is_printed(run: Callable[..., Result], models: Path, url: str) -> None:
    """
    Whatever is wrong with an address, its password is not in the message.
    """
    result = run("check", f"{models}:metadata", "--url", url)
    assert result.exit_code == 2
    assert "secret" not in result.output


def test_an_address_is_needed() -> None:
    """
    Nothing is guessed when no address is given.
    """
    with pytest.raises(AddressError, match="PGULTRA_URL"):
        address_of("")


def test_the_program_runs(models: Path) -> None:
    """
    `pgultra` as a process of its own: help, version, and exit codes that a shell sees.
    """

    def program(*arguments: Any) -> subprocess.CompletedProcess[str]:
        call = "from pgultra.integrations.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", call, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert "adopt" in program("--help").stdout
    assert program("--version").stdout.startswith("pgultra ")
    failed = program("check", f"{models}:metadata", "--url", "postgresql://me@localhost:1/db")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: cannot connect to postgresql+psycopg://me@localhost:1/")


def test_the_hint_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where typer is not installed, the program says what to install.
    """
    from pgultra.integrations.cli import main

    monkeypatch.delitem(sys.modules, "pgultra.integrations.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in ("adopt", "check", "demo", "listing", "sql", "database", "target"):
        monkeypatch.delitem(sys.modules, f"pgultra.integrations.cli.{name}", raising=False)
    with pytest.raises(SystemExit, match="pip install 'pgultra"):
        main()
