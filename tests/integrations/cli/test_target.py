from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import host_lacking", "ModuleNotFoundError: No module named 'host_lacking'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit", "cannot be imported: SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("import pgultra\n\npgultra.HNSW(m='16')", "host_models.py, line 3)"),
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
        models.read_text() + "from pgultra import View, declare\n"
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
    (package / "inner.py").write_text(models.read_text())
    assert run("list", f"{package / 'tables.py'}:metadata").exit_code == 0
    monkeypatch.chdir(models.parent)
    assert run("list", "host_models:Base").exit_code == 0
    assert run("list", "host_package.inner:Base.metadata").exit_code == 0


def test_a_file_called_like_a_loaded_module(run: Callable[..., Result], models: Path) -> None:
    """
    A file named json.py is not taken for the module of that name.
    """
    path = models.with_name("json.py")
    path.write_text(models.read_text())
    assert run("list", f"{path}:metadata").exit_code == 0
    del sys.modules["json_of_pgultra"]
