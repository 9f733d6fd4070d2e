"""
Names of partitions: told by the bound alone, at most 63 bytes.

>>> from pgultra.features.partitions.bounds import HashBound
>>> from pgultra.features.partitions.rules import ByHash
>>> child_name("message", HashBound(8, 3), ByHash("conversation_id", modulus=8))
'message_h3'
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pgultra import sql
from pgultra.features.partitions.bounds import (
    DefaultBound,
    HashBound,
    ListBound,
    RangeBound,
    instant,
)
from pgultra.features.partitions.calendar import INTEGERS, Grid, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.rules import Rules

__all__ = ["DEFAULT", "child_name", "free_name", "label_of", "pattern_of"]

DEFAULT = "default"
"""The label of the partition that takes what no other takes."""

_PATTERNS: dict[str, tuple[str, Callable[[datetime], str]]] = {
    "hour": ("YYYY_MM_DD_HH24", lambda at: f"{_day(at)}_{at:%H}"),
    "minute": ("YYYY_MM_DD_HH24MI", lambda at: f"{_day(at)}_{at:%H%M}"),
    "day": ("YYYY_MM_DD", lambda at: _day(at)),
    "week": ('IYYY_"w"IW', lambda at: "{:04}_w{:02}".format(*at.isocalendar())),
    "month": ("YYYY_MM", lambda at: f"{at.year:04}_{at:%m}"),
    "quarter": ('YYYY_"q"Q', lambda at: f"{at.year:04}_q{(at.month + 2) // 3}"),
    "year": ("YYYY", lambda at: f"{at.year:04}"),
}


def _day(at: datetime) -> str:
    return f"{at.year:04}_{at:%m_%d}"


def _span(grid: Grid) -> str:
    """
    The coarsest word that tells the cells of a grid apart.
    """
    count, unit = grid.count, grid.unit
    if unit == "minute":
        return "hour" if count % 60 == 0 else "minute"
    if unit == "day":
        return "week" if count == 7 else "day"
    return "year" if count % 12 == 0 else "quarter" if count == 3 else "month"


def pattern_of(grid: Grid) -> str | None:
    """
    How ``to_char`` writes the label of a cell; None for numbers.
    """
    return None if grid.kind in INTEGERS else _PATTERNS[_span(grid)][0]


def label_of(bound: Bound, rules: Rules, grid: Grid | None = None) -> str:
    """
    What a partition's name says after that of its parent.

    Args:
        bound: its bound.
        rules: of the parent.
        grid: that of the key; told from the bound's values if it is left out.
    """
    if isinstance(bound, DefaultBound):
        return DEFAULT
    if isinstance(bound, HashBound):
        same = getattr(rules, "modulus", None) == bound.modulus
        return f"h{bound.remainder}" if same else f"h{bound.modulus}_{bound.remainder}"
    if isinstance(bound, ListBound):
        return _group(bound, rules)
    if grid is None:
        grid = _grid(bound, rules)
    if grid is None or bound.lower is None:
        return _plain(bound.lower)
    if grid.unit == "integer":
        return _plain(bound.lower)
    label = _PATTERNS[_span(grid)][1](_local(bound.lower, grid))
    if grid.cell(bound.lower).lower == bound.lower:
        return label
    # what is left of a cell beside another partition: two of them can begin in one cell
    return f"{label}_{grid.moment_of(bound.lower).astimezone(UTC):%Y%m%d%H%M%S}"


def child_name(parent_name: str, bound: Bound, rules: Rules, grid: Grid | None = None) -> str:
    """
    The name of a partition, the same whenever and wherever it is asked for.

    Names never tell what a partition holds: its bound does.
    """
    return sql.short_name(parent_name, label_of(bound, rules, grid))


def free_name(name: str, taken: Collection[str]) -> str:
    """
    The name, or with a number after it, where something else bears it already.
    """
    number, found = 2, name
    while found in taken:
        found, number = sql.short_name(name, str(number)), number + 1
    return found


def _group(bound: ListBound, rules: Rules) -> str:
    """
    The group that a bound's values make up; members of an enum are stored by name or by value.
    """
    wanted = {*bound.values, *([None] if bound.null else [])}
    for label, values in getattr(rules, "groups", {}).items():
        for spelling in (None, "name", "value"):
            if {getattr(v, spelling, v) if spelling else v for v in values} == wanted:
                return str(label)
    return "_".join(sorted("null" if value is None else str(value) for value in wanted))


def _grid(bound: RangeBound, rules: Any) -> Grid | None:
    """
    The grid as the values of the bound tell it.
    """
    value = bound.lower if bound.lower is not None else bound.upper
    if getattr(rules, "every", None) is None or value is None:
        return None
    kind = "bigint"
    if isinstance(value, UUID):
        kind = "uuid7"
    elif isinstance(value, datetime):
        kind = "timestamp" if value.tzinfo is None else "timestamptz"
    elif isinstance(value, date):
        kind = "date"
    return Grid.of(rules.every, rules.time_zone, kind)


def _local(lower: Any, grid: Grid) -> datetime:
    """
    What the clock shows where the cell begins; cells of hours tell UTC, which has no summer.
    """
    if not isinstance(lower, datetime) and isinstance(lower, date):
        return datetime(lower.year, lower.month, lower.day, tzinfo=UTC)
    if isinstance(lower, datetime) and lower.tzinfo is None:
        return lower
    moment = grid.moment_of(lower)
    return moment if grid.unit == "minute" else moment.astimezone(zone_of(grid.time_zone))


def _plain(lower: Any) -> str:
    if lower is None:
        return "least"
    if isinstance(lower, datetime):
        text = instant(lower).removesuffix("+00").removesuffix(" 00:00:00")
    else:
        text = str(lower)
    head = "m" if text.startswith("-") else ""
    return head + "".join(c if c.isalnum() else "_" for c in text.removeprefix("-"))
