"""
How a figure is taken: both sides in one run, alternating, and the median of their ratios.

The absolute times of a shared machine drift; the ratio of two sides that take turns does
not. A round is one call of each side, in an order that is reversed every other round. The
ratio is taken within each round: where a machine has a quick and a slow hour, the median of
one side may fall into the one and that of the other into the other.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bar", "Condition", "Curve", "Figure", "compare", "grow", "seconds"]


@dataclass(frozen=True)
class Bar:
    """
    What a ratio must keep: ``Bar("<=", 1.05)``.
    """

    relation: Literal["<=", ">="]
    limit: float

    def holds(self, ratio: float) -> bool:
        """
        Whether the ratio keeps it.
        """
        return ratio <= self.limit if self.relation == "<=" else ratio >= self.limit

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True)
class Condition:
    """
    What must hold beside a ratio, or it says nothing: ``Condition("recall@10", 0.96, ">=", 0.95)``.
    """

    name: str
    value: float
    relation: Literal["<=", ">="]
    limit: float

    @property
    def holds(self) -> bool:
        """
        Whether it does.
        """
        return Bar(self.relation, self.limit).holds(self.value)

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g} {self.relation} {self.limit:g}"


@dataclass
class Figure:
    """
    One comparison.

    Attributes:
        name: what was measured.
        ours, theirs: labels of the sides.
        seconds: medians by label.
        spread: smallest and largest by label.
        ratio: ours over theirs.
        paired: whether it is the median of the rounds' ratios, and not the ratio of medians.
        samples: all measured turns by label, where they were kept.
        bar: what the ratio must keep, if anything.
        conditions: what must hold beside it.
    """

    name: str
    ours: str
    theirs: str
    seconds: dict[str, float]
    spread: dict[str, tuple[float, float]]
    ratio: float
    rounds: int
    bar: Bar | None = None
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    paired: bool = False
    conditions: tuple[Condition, ...] = ()

    @property
    def holds(self) -> bool:
        """
        Whether its bar is kept, and all conditions; True without any.
        """
        kept = self.bar is None or self.bar.holds(self.ratio)
        return kept and all(each.holds for each in self.conditions)

    def as_dict(self) -> dict[str, Any]:
        """
        Plain values for JSON.
        """
        return {
            "name": self.name,
            "ours": self.ours,
            "theirs": self.theirs,
            "median_seconds": self.seconds,
            "spread_seconds": self.spread,
            "ratio": round(self.ratio, 4),
            "rounds": self.rounds,
            "paired": self.paired,
            "bar": str(self.bar) if self.bar else None,
            "conditions": [str(each) for each in self.conditions],
            "holds": self.holds,
            "note": self.note,
            **self.extra,
        }


@dataclass(frozen=True)
class Curve:
    """
    How the time of both sides grows.

    Attributes:
        name: what was measured.
        unit: of the sizes, as ``rows``.
        sizes: of the data.
        seconds: medians by label, one for each size.
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    seconds: dict[str, tuple[float, ...]]

    def as_dict(self) -> dict[str, Any]:
        """
        Plain values for JSON.
        """
        return asdict(self)


def seconds(call: Callable[[], Any], *, inner: int = 1) -> float:
    """
    Time one round: ``inner`` calls, divided; the garbage collector runs before, not within.
    """
    gc.collect()
    start = time.perf_counter()
    for _ in range(inner):
        call()
    return (time.perf_counter() - start) / inner


def compare(
    name: str,
    *,
    ours: tuple[str, Callable[[], Any]],
    theirs: tuple[str, Callable[[], Any]],
    bar: Bar | None = None,
    rounds: int = 15,
    inner: int = 1,
    warm_up: int = 2,
    inverse: bool = False,
    note: str = "",
    before: Callable[[], Any] | None = None,
) -> Figure:
    """
    Let two sides take turns.

    Args:
        name: what is measured.
        ours, theirs: label and call.
        bar: for the ratio ours / theirs; with ``inverse``, theirs / ours ("times faster").
        rounds: measured turns of each side.
        inner: calls within a turn, for what is quick.
        warm_up: turns before that do not count.
        before: called before each turn of each side, and not timed.
    """
    sides = [ours, theirs]
    times: dict[str, list[float]] = {label: [] for label, _ in sides}
    for turn in range(warm_up + rounds):
        for label, call in sides if turn % 2 else reversed(sides):
            if before is not None:
                before()
            taken = seconds(call, inner=inner)
            if turn >= warm_up:
                times[label].append(taken)
    medians = {label: statistics.median(values) for label, values in times.items()}
    rounds_of = zip(times[ours[0]], times[theirs[0]], strict=True)
    ratio = statistics.median(one / other for one, other in rounds_of)
    return Figure(
        name=name,
        ours=ours[0],
        theirs=theirs[0],
        seconds=medians,
        spread={label: (min(values), max(values)) for label, values in times.items()},
        ratio=1 / ratio if inverse else ratio,
        rounds=rounds,
        bar=bar,
        note=note,
        samples=times,
        paired=True,
    )


def grow(name: str, unit: str, taken: dict[int, Figure]) -> Curve:
    """
    Make a curve of the same comparison at several sizes.
    """
    labels = next(iter(taken.values())).seconds
    return Curve(
        name,
        unit,
        tuple(taken),
        {label: tuple(figure.seconds[label] for figure in taken.values()) for label in labels},
    )
