"""
What upkeep shall do: computed from rules, bounds and a clock, and from nothing else.

>>> from datetime import datetime, timezone
>>> from pgultra.features.partitions import ByRange
>>> from pgultra.features.partitions.calendar import Grid
>>> rules = ByRange("at", every="1 month", premake=1)
>>> now = datetime(2026, 1, 15, tzinfo=timezone.utc)
>>> for bound in missing(rules, Grid.of("1 month"), [], now, (), now):
...     print(bound)
from ('2026-01-01 00:00:00+00') to ('2026-02-01 00:00:00+00')
from ('2026-02-01 00:00:00+00') to ('2026-03-01 00:00:00+00')
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.bounds import DefaultBound, RangeBound
from pgultra.features.partitions.calendar import step_of
from pgultra.features.partitions.rules import ByRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.children import Child
    from pgultra.features.partitions.rules import Rules

__all__ = ["Action", "MaintenancePlan", "Verb", "cutoff_of", "expired", "missing", "next_gap"]

Verb: TypeAlias = Literal[
    "clear", "create", "drain", "finish", "index", "detach", "drop", "archive", "dispose"
]
MOST = 500
"""Partitions that one transaction makes, and the cells of the longest gap that is filled."""
WORDS = {
    "clear": "clear",
    "create": "create partition",
    "drain": "drain into",
    "finish": "finish detaching",
    "index": "build index",
    "detach": "detach",
    "drop": "detach and drop",
    "archive": "detach and archive",
    "dispose": "finish",
}


@dataclass(frozen=True)
class Action:
    """
    One thing that ``maintain`` would do.

    Attributes:
        verb: what: ``clear`` (what a run left that broke off, or what is true no more),
            ``create``, ``drain`` (out of the default partition), ``finish`` (a detaching that
            broke off), ``index``, ``detach``, ``drop``, ``archive``, or ``dispose`` (of a table
            that was detached and not yet dropped or archived).
        table: the partitioned table.
        child: the partition, or the table that was one.
        bound: what it takes.
        reason: why, in words.
        statements: what runs, as far as it can be told before.
    """

    verb: Verb
    table: str
    child: str
    bound: Bound | None = None
    reason: str = ""
    statements: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f" {self.bound}" if self.bound is not None else ""
        why = f"  ({self.reason})" if self.reason else ""
        return f"{WORDS[self.verb]} {self.child}{place}{why}"


@dataclass(frozen=True)
class MaintenancePlan:
    """
    All that ``maintain`` would do, by table; true if there is anything.

    Attributes:
        actions: in the order in which they are done.
        findings: what a person should look at: one sentence each.
    """

    actions: tuple[Action, ...] = ()
    findings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.actions)

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)

    def __str__(self) -> str:
        lines: list[str] = []
        for table in dict.fromkeys(action.table for action in self.actions):
            lines.append(f"{table}:")
            lines.extend(f"  {action}" for action in self.actions if action.table == table)
        lines.extend(f"! {finding}" for finding in self.findings)
        return "\n".join(lines) or "nothing to do"

    def as_sql(self) -> str:
        """
        The statements, each with the action that it belongs to as a comment.
        """
        lines: list[str] = []
        for action in self.actions:
            lines.append(f"-- {action.table}: {action}".replace("\n", " "))
            lines.extend(f"{each};" for each in action.statements)
        return "\n".join(lines)


def cutoff_of(rules: Rules, grid: Grid | None, moment: datetime, current: Any) -> Any:
    """
    The value below which rows are no longer kept; None if they are for ever.

    Args:
        rules: of this level.
        grid: of its key.
        moment: the present.
        current: the present as a value of the key; for integers the greatest value.
    """
    if not isinstance(rules, ByRange) or rules.retain is None or grid is None:
        return None
    count, unit = step_of(rules.retain)
    if unit == "integer":
        return None if current is None else current - count
    return grid.value_at(grid.back(moment, count, unit))


def expired(bound: Bound, cutoff: Any) -> bool:
    """
    Whether nothing that a partition can hold is to be kept.

    >>> [expired(RangeBound(0, 10), cutoff) for cutoff in (10, 9, None)]
    [True, False, False]
    """
    return (
        cutoff is not None
        and isinstance(bound, RangeBound)
        and bound.upper is not None
        and not isinstance(bound.upper, tuple)
        and bool(bound.upper <= cutoff)
    )


def missing(
    rules: Rules,
    grid: Grid | None,
    bounds: Iterable[Bound],
    current: Any,
    fixed: Sequence[Bound] = (),
    moment: datetime | None = None,
    fixed_as_read: Sequence[Bound] | None = None,
) -> tuple[Bound, ...]:
    """
    The partitions that should be there and are not, in order.

    Where the cells of the grid are taken in part, because the step was another one once, the
    rest of each cell is a partition: nothing overlaps, and no gap stays. What retention would
    take away is no gap.

    Args:
        rules: of this level.
        grid: of its key, if there is one.
        bounds: of the partitions that are there.
        current: the present as a value of the key; for integers the greatest value.
        fixed: what ``rules.bounds_for`` says.
        moment: the present.
        fixed_as_read: the same with values as the catalog's are read.
    """
    there = list(bounds)
    wanted: list[Bound] = [
        each
        for each, read in zip(fixed, fixed_as_read or fixed, strict=True)
        if not isinstance(each, DefaultBound) and not any(read.overlaps(other) for other in there)
    ]
    if grid is not None and isinstance(rules, ByRange):
        ranges = sorted_ranges(there)
        first = _first(rules, grid, ranges, current)
        cutoff = cutoff_of(rules, grid, moment, current) if moment is not None else None
        if cutoff is not None and first < cutoff:
            first = cutoff
        ahead: list[RangeBound] = []
        cells = list(grid.ahead(current, current, rules.premake))
        at = 0
        for cell in cells:
            while at < len(ranges) and _ends_before(ranges[at], cell):
                at += 1
            near = list(takewhile(partial(_begins_within, cell=cell), ranges[at:]))
            ahead.extend(piece for piece in cell.minus(near) if not expired(piece, first))
        earlier = list(_earlier(grid, ranges, first, cells[0], current))
        if ranges and len(ahead) <= MOST:  # in portions: the newest first
            earlier = earlier[max(0, len(earlier) + len(ahead) - MOST) :]
        wanted += [*earlier, *ahead]
    wanted.extend(each for each in fixed if isinstance(each, DefaultBound) and each not in there)
    return tuple(wanted)


def _earlier(
    grid: Grid, ranges: Sequence[RangeBound], first: Any, present: RangeBound, current: Any
) -> Iterator[RangeBound]:
    """
    What is missing before the present cell; beyond a hole of too many cells is something old.

    Raises:
        PgultraError: there is nothing yet, and the rules begin too long ago.
    """
    if present.lower is None or first >= present.lower:
        return
    for hole in RangeBound(grid.cell(first).lower, present.lower).minus(list(ranges)):
        number = grid.count_between(
            first if hole.lower is None else max(hole.lower, first),
            current if hole.upper == present.lower else hole.upper,
        )
        if number > MOST and ranges:
            continue
        if number > MOST:
            raise PgultraError(
                f"it lacks {int(number)} partitions, more than one transaction should make: choose "
                "a longer every=, a later start= or a smaller premake="
            )
        for cell in grid.cells(first if hole.lower is None else hole.lower, hole.upper):
            upper = hole.upper if cell.upper is None else min(cell.upper, hole.upper)
            lower = cell.lower
            if hole.lower is not None and (lower is None or lower < hole.lower):
                lower = hole.lower
            piece = RangeBound(lower, upper)
            if (lower is None or lower < upper) and not expired(piece, first):
                yield piece


def _ends_before(each: RangeBound, cell: RangeBound) -> bool:
    return each.upper is not None and cell.lower is not None and bool(each.upper <= cell.lower)


def _begins_within(each: RangeBound, cell: RangeBound) -> bool:
    return each.lower is None or cell.upper is None or bool(each.lower < cell.upper)


def sorted_ranges(bounds: Iterable[Bound]) -> list[RangeBound]:
    """
    The ranges among bounds, the lowest first.
    """
    found = [each for each in bounds if isinstance(each, RangeBound)]
    open_below = [each for each in found if each.lower is None]
    return open_below + sorted(
        (each for each in found if each.lower is not None), key=lambda each: each.lower
    )


def _first(rules: ByRange, grid: Grid, ranges: Sequence[RangeBound], current: Any) -> Any:
    """
    Where the grid begins: with the lowest partition, else where the rules say, else now.
    """
    lowest = [
        value
        for value in (each.lower if each.lower is not None else each.upper for each in ranges)
        if value is not None
    ]
    if lowest:
        return min(*lowest, current) if len(lowest) > 1 else min(lowest[0], current)
    start = grid.cell(rules.start).lower if rules.start is not None else current
    return min(start, current)


def next_gap(bounds: Iterable[Bound], current: Any) -> Any:
    """
    Where the partitions from the present on end, without a gap; None if they never do.

    Gives the present itself if no partition holds it.
    """
    edge = current
    for each in sorted_ranges(bounds):
        if each.lower is None or each.lower <= edge:
            if each.upper is None:
                return None
            edge = max(edge, each.upper)
    return edge


def gaps(bounds: Iterable[Bound]) -> tuple[RangeBound, ...]:
    """
    What lies between two partitions, and in none.

    >>> gaps([RangeBound(0, 10), RangeBound(20, 30)])
    (RangeBound(lower=10, upper=20),)
    """
    found: list[RangeBound] = []
    edge: Any = None
    for number, each in enumerate(sorted_ranges(bounds)):
        if number and edge is not None and each.lower is not None and edge < each.lower:
            found.append(RangeBound(edge, each.lower))
        if each.upper is None:
            break
        edge = each.upper if edge is None else max(edge, each.upper)
    return tuple(found)


def marked_tree(child: Child, children: Iterable[Child]) -> bool:
    """
    Whether a partition and all that lies below it bear our mark.
    """
    below: dict[int, list[Child]] = {}
    for each in children:
        below.setdefault(each.parent_oid, []).append(each)
    todo = [child]
    while todo:
        each = todo.pop()
        if not each.marked:
            return False
        todo.extend(below.get(each.oid, ()))
    return True


def spelt(schema: str, name: str, home: str) -> str:
    """
    A table's name as people write it: without the schema that goes without saying.
    """
    return sql.qualified(None if schema == home else schema, name)
