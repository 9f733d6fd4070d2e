from __future__ import annotations

import re
import tomllib

import pytest

from tests.architecture.source import ROOT, TESTS

pytestmark = pytest.mark.once

DRIVERS = ("asyncpg",)  # no extra has it: psycopg stands in `demo`, and a host chooses


def floors() -> dict[str, str]:
    """
    Read what pyproject.toml asks for, but for the tools of `dev`.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ours = [each for name, several in extras.items() if name != "dev" for each in several]
    ours += [each for each in extras["dev"] if each.startswith(DRIVERS)]
    parts = (each.partition(">=") for each in project["dependencies"] + ours)
    return {re.sub(r"\[.*\]", "", name): floor for name, _, floor in parts if floor}


def test_the_lowest_versions_are_those_of_the_package() -> None:
    """
    The session with the lowest versions has the floor of each requirement, and nothing else.
    """
    lines = (TESTS / "lowest.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert pinned == sorted(f"{name}=={floor}" for name, floor in floors().items())
