from __future__ import annotations

import doctest
import gc
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.architecture.source import MODULES, load

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def _no_collection() -> Iterator[None]:
    """
    No class goes while doctest looks up its source: SQLAlchemy takes that away with the class.

    One collection for all modules: among the classes of a whole run each takes a quarter of a second.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.usefixtures("_no_collection")
def test_examples_in_docstrings_are_true(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each ``>>>`` prints what the docstring says it prints.
    """
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in examples(load(name)):
        # SQLAlchemy looks up the names in annotations in the module of the class.
        place = ModuleType("an_example")
        place.__dict__.update(test.globs, __name__=place.__name__)
        place.__dict__.pop("annotations", None)  # a reader's prompt has no __future__
        monkeypatch.setitem(sys.modules, place.__name__, place)
        test.globs = place.__dict__
        runner.run(test, clear_globs=False)
    assert runner.failures == 0


def examples(module: ModuleType) -> Iterator[doctest.DocTest]:
    """
    Yield the docstrings of a module that have examples.
    """
    finder = doctest.DocTestFinder(exclude_empty=True)
    yield from (test for test in finder.find(module) if test.examples)
