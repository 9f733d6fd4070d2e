"""
The names of changelog fragments, of which towncrier makes the changelog.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

FRAGMENTS = Path(__file__).parents[2] / "changelog.d"
NAME = re.compile(r"(\d+|\+[\w-]+)\.(feature|change|fix)(\.\d+)?\.md")


def test_towncrier_can_tell_them_apart() -> None:
    """
    Behind the kind it takes a number alone; of two words it makes the same fragment, and stops.
    """
    names = {path.name for path in FRAGMENTS.iterdir()} - {"README.md"}
    assert [name for name in sorted(names) if not NAME.fullmatch(name)] == []
    assert names
