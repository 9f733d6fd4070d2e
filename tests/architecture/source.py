"""
Our own source, as the tests of this folder look at it.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import pgultra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pgultra"
TESTS = ROOT / "tests"
REFERENCE = ROOT / "docs" / "reference"

MODULES = sorted(
    ["pgultra", *(module.name for module in pkgutil.walk_packages(pgultra.__path__, "pgultra."))]
)
PUBLIC_MODULES = [name for name in MODULES if "._" not in name]


def load(name: str) -> ModuleType:
    """
    Import one of our modules.
    """
    return importlib.import_module(name)


def is_package(name: str) -> bool:
    """
    Tell a folder with an ``__init__`` from a module.
    """
    return hasattr(load(name), "__path__")


def files(*suffixes: str) -> Iterator[Path]:
    """
    Yield our files with one of these endings.
    """
    for folder in (SOURCE, TESTS, ROOT / "examples", ROOT / "benchmarks"):
        yield from (path for path in folder.rglob("*") if path.suffix in suffixes)


def rooms() -> list[str]:
    """
    Name the modules of the rooms.
    """
    features = [name for name in MODULES if name.startswith("pgultra.features.")]
    return [name for name in features if name.count(".") == 2]
