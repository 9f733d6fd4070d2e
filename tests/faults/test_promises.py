from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults import promises
from tests.faults.reads import NO_READS, READS

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


def test_every_promise_has_a_test() -> None:
    """
    Each row of the table has a test that is there to keep it, and each fault has a row.
    """
    for path in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.faults.{path.stem}")
    made = {(each.fault, each.operation) for each in promises.PROMISES}
    assert made == promises.TESTED
    assert {each.fault for each in promises.PROMISES} == set(promises.FAULTS)
    assert len(made) == len(promises.PROMISES)


def test_nothing_else_can_be_kept() -> None:
    """
    A test that names a promise nobody made does not load.
    """
    with pytest.raises(LookupError, match="nothing is promised for 'tea'"):
        promises.keeps("kill", "tea")


def test_everything_that_reads_is_asked() -> None:
    """
    Each public function of a room is read with, or is named among those that are no reads.
    """
    public = {
        f"{room.__name__.rpartition('.')[2]}.{name}"
        for room in (embeddings, encryption, partitions, search, soft_delete)
        for name in room.__all__
        if inspect.isfunction(getattr(room, name))
    }
    asked = {name.partition(",")[0] for name in READS if ":" not in name}
    others = set().union(*NO_READS.values())
    assert asked | others == public
    assert asked & others == set()
