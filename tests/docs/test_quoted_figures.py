"""
What pages quote of the benchmarks is what was measured.

A quoted figure has its source behind it, which a reader does not see:
``6.5<!-- embeddings: ORM add_all of 20000 x 384 --> times faster``. The name is that of a figure
in docs/benchmarks/results, for its ratio; ``CURVE, 1,000,000 vectors`` is a point of a curve.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import report
from tests.docs.pages import DOCS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

NOISE = 0.25
"""How far a quoted figure may be off, as a share of the measured one's distance from 1: runs differ."""
RESULTS = report.read()
SOURCE = re.compile(
    rf"(?P<quoted>\d[\d.]*)?\**<!-- (?P<room>{'|'.join(RESULTS)}): (?P<name>.+?) -->"
)


def measured() -> dict[tuple[str, str], float]:
    """
    Every ratio that can be quoted, by room and name.
    """
    found = {}
    for room, result in RESULTS.items():
        for figure in result["figures"]:
            found[room, figure["name"]] = figure["ratio"]
        for curve in result["curves"]:
            for size, ours, theirs in zip(curve["sizes"], *curve["seconds"].values(), strict=True):
                found[room, f"{curve['name']}, {size:,} {curve['unit']}"] = theirs / ours
    return found


def near(quoted: float, figure: float) -> bool:
    """
    Tell whether a quoted figure may stand for a measured one.
    """
    return abs(quoted - figure) <= NOISE * max(abs(figure - 1), 0.4)


def sources() -> Iterator[Any]:
    """
    Give the sources in all pages, each with what stands before it.
    """
    for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        for found in SOURCE.finditer(page.read_text()):
            place = f"{page.relative_to(ROOT)}: {found['name']}"
            yield pytest.param(found["quoted"], (found["room"], found["name"]), id=place)


@pytest.mark.parametrize(("quoted", "source"), [*sources()])
def test_a_quoted_figure_is_the_measured_one(quoted: str | None, source: tuple[str, str]) -> None:
    """
    Its source exists, and the page is no further from it than one run is from another.
    """
    assert quoted is not None, "no figure stands before this source"
    told = f"measured: {measured()[source]:.3g}"
    if source[0] == "relevance":  # which a machine's speed does not change
        assert abs(float(quoted) - measured()[source]) < 0.006, told
    assert near(float(quoted), measured()[source]), told


def test_what_a_source_can_name() -> None:
    """
    The ratio of a figure, or of a point of a curve; and what is too far off is seen.
    """
    numbers = measured()
    (kernel, *_) = RESULTS["kernel"]["figures"]
    assert numbers["kernel", kernel["name"]] == kernel["ratio"]
    assert ("kernel", "autogenerate with nothing to do, 1,050 objects") in numbers
    assert near(5.5, 5.0)
    assert not near(6.3, 5.0)
    assert not near(3.9, 5.0)
    (found,) = SOURCE.finditer("some **6.5**<!-- kernel: a name --> times")
    assert (found["quoted"], found["room"], found["name"]) == ("6.5", "kernel", "a name")
    (found,) = SOURCE.finditer("some<!-- kernel: a name --> times")
    assert found["quoted"] is None
