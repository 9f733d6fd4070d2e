"""
The pages of docs/benchmarks say what the results beside them say.
"""

from __future__ import annotations

import pytest

from benchmarks import report

pytestmark = pytest.mark.once

RESULTS = report.read()


@pytest.mark.parametrize(("name", "text"), report.pages(RESULTS).items(), ids=report.pages(RESULTS))
def test_a_page_is_made_of_its_results(name: str, text: str) -> None:
    """
    Nobody wrote into it by hand, and no result is left out: make them with benchmarks.report.
    """
    assert (report.PAGES / name).read_text() == text


def test_no_page_is_left_over() -> None:
    """
    A page whose results are gone goes too.
    """
    assert {path.name for path in report.PAGES.glob("*.md")} == set(report.pages(RESULTS))


@pytest.mark.parametrize("room", RESULTS)
def test_a_missed_bar_shows(room: str) -> None:
    """
    What the results call missed is missed on the page and in the index, with its ratio.
    """
    missed = [each for each in RESULTS[room]["figures"] if not each["holds"]]
    text = report.page(room, RESULTS[room])
    assert text.count("**missed**") == len(missed)
    index = report.pages(RESULTS)["index.md"]
    assert all(each["name"] in index for each in missed)


@pytest.mark.parametrize("room", RESULTS)
def test_a_room_has_its_curve_or_a_reason(room: str) -> None:
    """
    The index names what the curve shows, to a million rows, or says why there is none such.
    """
    index = report.pages(RESULTS)["index.md"]
    curves = RESULTS[room]["curves"]
    for curve in curves:
        assert f"| {curve['name']} | {[*curve['seconds']][1]} |" in index
    if [curve["sizes"][-1] for curve in curves] != [1_000_000]:
        assert report.REASONS[room] in index


def test_a_bar_holds_or_not() -> None:
    """
    Both relations, at the limit and beside it.
    """
    from benchmarks.measure import Bar

    assert Bar("<=", 1.1).holds(1.1)
    assert not Bar("<=", 1.1).holds(1.11)
    assert Bar(">=", 50).holds(50)
    assert not Bar(">=", 50).holds(49.9)
