"""
That no block of a page is left out: each is run by a test, or stands here with the reason.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from pgultra.integrations.cli.app import app
from pgultra.plan.emitted import emitted_sql
from tests.docs.follower import COMMANDS
from tests.docs.pages import DOCS, ROOT, blocks
from tests.laws.samples import rooms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

KINDS = {"python": "python", "sql": "SQL", "postgresql": "SQL", "yaml": "YAML"} | dict.fromkeys(
    ("bash", *COMMANDS), "commands"
)
"""The languages of blocks that a reader runs, and what the blocks are called here."""

FOLLOWED = ("docs/tutorial/", "docs/how-to/moving-from/")
"""Folders whose pages are followed whole, by test_tutorial and test_moving_from."""

READERS = {
    "python_of": ("", {"python"}),
    "sql_of": ("", {"SQL"}),
    "commands_of": ("", {"commands"}),
    "yaml_of": ("", {"YAML"}),
    "blocks": ("how-to/", {"python"}),
    "open_page": ("how-to/", {"python", "SQL", "commands"}),
}
"""What gives tests the blocks of a page: from which folder, and of which kinds."""

READ_WHOLE = {("README.md", "python"): "tests/test_readme.py"}
"""Pages that a test of their own reads by itself."""

NOT_RUN = {
    ("README.md", "commands"): "they install; test_readme compares them with what CI runs",
    ("CONTRIBUTING.md", "commands"): "they make the environment that the tests run in",
    ("docs/explanation/relevance.md", "commands"): "it fetches models, and measures for minutes",
    ("docs/explanation/security.md", "commands"): "age is on no machine of CI, the key is yours",
    ("docs/how-to/run-a-private-server.md", "commands"): "it installs; see the extras below",
    ("docs/how-to/keep-partitions-up.md", "YAML"): "there is no Kubernetes: its command is run",
    ("docs/tutorial/drift.md", "YAML"): "there is no GitHub: its commands are run",
}
"""
What no test runs as it stands, and why.

And test_commands leaves out openssl and psql on a machine that has none; CI has both.
"""

PROGRAM = get_command(app)


def pages() -> list[Path]:
    """
    Give all pages.
    """
    found = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


def kinds_of(page: Path) -> set[str]:
    """
    Give the kinds of blocks in it that a reader runs.
    """
    return {KINDS[block.language] for block in blocks(page) if block.language in KINDS}


def named(page: Path) -> str:
    """
    Give its path in the project.
    """
    return str(page.relative_to(ROOT))


def _read_by(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """
    Give pages, and kinds of their blocks, that a function of a test asks a reader for.
    """
    texts = {
        target.id: node.value.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or not call.args:
            continue
        folder, kinds = READERS.get(call.func.id, ("", set()))
        given = call.args[0]
        page = given.value if isinstance(given, ast.Constant) else None
        page = texts.get(given.id) if isinstance(given, ast.Name) else page
        if isinstance(page, str):
            yield from ((f"docs/{folder}{page.removesuffix('.md')}.md", kind) for kind in kinds)


@functools.cache
def read_by_tests() -> set[tuple[str, str]]:
    """
    Give the pages, and the kinds of their blocks, that the tests ask a reader for by name.
    """
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    trees = (
        ast.parse(source) for source in sources if any(f"{each}(" in source for each in READERS)
    )
    return {
        read
        for tree in trees
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for read in _read_by(function)
    }


@pytest.mark.parametrize("page", [named(page) for page in pages() if kinds_of(page)])
def test_every_block_is_run_by_a_test(page: str) -> None:
    """
    Its Python is well-formed, and a test asks for the page's blocks of each kind by its full path.
    """
    for block in blocks(ROOT / page):
        if block.language == "python":
            compile(block.text, block.place, "exec", dont_inherit=True)
    run = {kind for path, kind in read_by_tests() | READ_WHOLE.keys() if path == page}
    reasons = {kind for path, kind in NOT_RUN if path == page}
    if page.startswith(FOLLOWED):
        run |= set(KINDS.values()) - {"YAML"}
    assert kinds_of(ROOT / page) - run - reasons == set()


def test_what_is_not_run_is_there() -> None:
    """
    Each reason is for blocks that a page has, and each test of its own names its page.
    """
    assert [each for each in NOT_RUN if each[1] not in kinds_of(ROOT / each[0])] == []
    for (page, _), test in READ_WHOLE.items():
        assert f'"{page}"' in (ROOT / test).read_text()


def _commands(page: Path) -> Iterator[str]:
    """
    Give what follows the word pgultra, in blocks and in the text.
    """
    for block in blocks(page):
        if block.language in (*COMMANDS, "text", "yaml"):
            yield from re.findall(r"(?<![\w.'/:-])pgultra ([a-z-].*)", block.text)
    yield from re.findall(r"`pgultra ([a-z-][^`\n]*)`", page.read_text())


def _unknown(command: str) -> list[str]:
    """
    Give the words of a command that the program does not know.
    """
    words = re.split(r" [|>#;&(]|  ", command)[0].split()
    node: Any = PROGRAM
    while words and words[0] in getattr(node, "commands", {}):
        node = node.commands[words.pop(0)]
    if hasattr(node, "commands") and words and not words[0].startswith("-"):
        return words[:1]
    known = {option for each in node.params for option in (*each.opts, *each.secondary_opts)}
    options = (word.partition("=")[0] for word in words if word.startswith("-"))
    return [option for option in options if option not in known | {"--help", "-h"}]


def test_the_program_knows_every_command() -> None:
    """
    Commands and options of pgultra that pages name are those that there are.
    """
    found = [(named(page), command) for page in pages() for command in _commands(page)]
    assert len(found) > 60
    assert [(page, each) for page, each in found if _unknown(each)] == []
    assert _unknown("check app.models:Base --yaml") == ["--yaml"]
    assert _unknown("partitions keep app.models:Base") == ["keep"]


def test_every_extra_can_be_installed() -> None:
    """
    What pages put into brackets behind pgultra is in the project's table.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = "".join(page.read_text() for page in pages())
    found = re.findall(r"pgultra\[([\w,]+)\]", texts)
    assert len(found) > 10
    assert {each for one in found for each in one.split(",")} <= set(
        project["optional-dependencies"]
    )


@pytest.mark.parametrize("room", rooms())
def test_the_sql_of_a_room_is_made_and_not_written(room: str) -> None:
    """
    Its page is made from models, has no SQL of its own, and is linked from the room's and the index.
    """
    made = list(blocks(DOCS / "reference" / f"{room}_sql.md"))
    assert "SQL" not in kinds_of(DOCS / "reference" / f"{room}_sql.md")
    assert "SQL" not in kinds_of(DOCS / "reference" / f"{room}.md")
    for page in (room, "index"):
        assert f"]({room}_sql.md)" in (DOCS / "reference" / f"{page}.md").read_text()
    targets = [each.language.partition("} ")[2] for each in made]
    assert targets
    for target in targets:
        module, _, names = target.partition(":")
        found = functools.reduce(getattr, names.split("."), importlib.import_module(module))
        name = getattr(found, "__table__", found).name
        assert f"CREATE TABLE {name} (" in emitted_sql(found, tables=True)
