from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.faults import promises

HERE = Path(__file__).parent


def test_the_page_is_made_of_the_promises() -> None:
    """
    Nobody wrote into docs/explanation/faults.md by hand: python -m tests.faults.promises.
    """
    assert promises.PAGE.read_text() == promises.page()


def test_the_page_is_linked() -> None:
    """
    The index of the explanations leads to it.
    """
    lines = (promises.PAGE.parent / "index.md").read_text().splitlines()
    assert promises.PAGE.stem in lines


def test_every_promise_is_kept_by_a_test() -> None:
    """
    Each row of the table has a test that says so, and each fault has a row.
    """
    for path in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.faults.{path.stem}")
    made = {(each.fault, each.operation) for each in promises.PROMISES}
    assert made == promises.KEPT
    assert {each.fault for each in promises.PROMISES} == set(promises.FAULTS)
    assert len(made) == len(promises.PROMISES)


def test_nothing_else_can_be_kept() -> None:
    """
    A test that names a promise nobody made does not load.
    """
    with pytest.raises(LookupError, match="nothing is promised for 'tea'"):
        promises.keeps("kill", "tea")
