from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source import ROOT, TESTS, files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

CEILING = 400
CASES = 800  # a table of cases stays with its fixtures, which splitting would tear apart or copy


def named(paths: Iterator[Path]) -> list[str]:
    """
    Give paths that read well as the names of tests.
    """
    return sorted(str(path.relative_to(ROOT)) for path in paths)


@pytest.mark.parametrize("name", named(files(".sql")))
def test_sql_has_no_tabs(name: str) -> None:
    """
    Alembic's offline mode would turn a tab into four spaces, and a function into another one.
    """
    assert "\t" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", named(files(".py", ".sql")))
def test_a_file_can_be_read_in_one_go(name: str) -> None:
    """
    A file has 400 lines at most; beyond that there is a second noun in it.
    """
    lines = len((ROOT / name).read_text().splitlines())
    assert lines <= (CASES if name.startswith("tests/") else CEILING)


@pytest.mark.parametrize("name", named(TESTS.rglob("test_*.py")))
def test_every_test_says_what_it_shows(name: str) -> None:
    """
    Each test has a docstring that states the behaviour in a sentence.
    """
    tree = ast.parse((ROOT / name).read_text())
    functions = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    silent = [
        node.name
        for node in functions
        if node.name.startswith("test_") and not (ast.get_docstring(node) or "").endswith(".")
    ]
    assert silent == []
