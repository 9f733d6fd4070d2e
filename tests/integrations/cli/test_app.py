from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa

from pgultra import PgultraWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


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


@pytest.mark.slow
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


def test_the_hint_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Where typer is not installed, the program says what to install.
    """
    from pgultra.integrations.cli import main

    monkeypatch.delitem(sys.modules, "pgultra.integrations.cli.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    for name in ("adopt", "check", "demo", "listing", "sql", "database", "target"):
        monkeypatch.delitem(sys.modules, f"pgultra.integrations.cli.{name}", raising=False)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2  # 1 would be "drift" to a pipeline
    assert "pip install 'pgultra[cli]'" in capsys.readouterr().err


def test_what_nobody_foresaw_is_no_drift(
    run: Callable[..., Result], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A mistake of ours, or of the host's code, has a traceback and exit code 2.
    """

    def broken(*_given: object, **_more: object) -> None:
        raise KeyError("nobody")

    monkeypatch.setattr("pgultra.integrations.cli.sql.script", broken)
    result = run("sql", f"{models}:metadata")
    assert result.exit_code == 2
    assert "KeyError: 'nobody'" in result.output


def test_warnings_are_words(
    run: Callable[..., Result], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A warning of pgultra's does not point at a line of pgultra's.
    """

    def warning(*_given: object, **_more: object) -> tuple[str, ...]:
        warnings.simplefilter("always")
        warnings.warn("look here", PgultraWarning, stacklevel=1)
        return ("SELECT 1",)

    monkeypatch.setattr("pgultra.integrations.cli.sql.script", warning)
    result = run("sql", f"{models}:metadata")
    assert result.exit_code == 0
    assert "warning: look here\n" in result.output
    assert "PgultraWarning" not in result.output
    assert result.stdout == "SELECT 1;\n"


def test_what_the_database_lacks(
    run: Callable[..., Result], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A table that is not there has the server's words, and what to do.
    """

    def lacking(*_given: object, **_more: object) -> None:
        gone = psycopg.errors.UndefinedTable('relation "visit" does not exist')
        raise sa.exc.ProgrammingError("SELECT", {}, gone)

    monkeypatch.setattr("pgultra.integrations.cli.sql.script", lacking)
    result = run("sql", f"{models}:metadata")
    assert result.exit_code == 2
    assert 'relation "visit" does not exist' in result.output
    assert "see pgultra check" in result.output
