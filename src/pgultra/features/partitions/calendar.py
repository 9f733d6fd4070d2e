"""
The grid of a key: where its cells begin and end, for any zone and step. Pure arithmetic.

Minutes and hours are counted in absolute time from the year 2000 (UTC), so that a change to
summer time neither makes nor loses a cell. Days, weeks, months and years begin at midnight
where the clock of the zone says so, and as PostgreSQL would say it: at a midnight that does
not exist, or exists twice, the later moment. A day that a zone skipped is no cell.

>>> grid = Grid.of("1 month", "Europe/Berlin")
>>> str(grid.cell(datetime(2026, 3, 15, tzinfo=timezone.utc)))
"from ('2026-02-28 23:00:00+00') to ('2026-03-31 22:00:00+00')"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgultra.errors import DeclarationError
from pgultra.features.partitions.bounds import RangeBound, instant
from pgultra.plan.options import one_of, shown, text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["INTEGERS", "TIMES", "Grid", "step_of", "zone_of"]

TIMES = ("timestamptz", "timestamp", "date", "uuid7")
"""Kinds of keys whose cells are spans of time."""
INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
"""Kinds of keys whose cells are spans of numbers, with the first number that is too large."""

_UTC = timezone.utc  # noqa: UP017  # `datetime.UTC` reads like a column
_EPOCH = datetime(2000, 1, 1, tzinfo=_UTC)
_MONDAY = date(2000, 1, 3)
_UNIX = datetime(1970, 1, 1, tzinfo=_UTC)
_MINUTE = timedelta(minutes=1)
_UNITS = {
    "minute": ("minute", 1),
    "hour": ("minute", 60),
    "day": ("day", 1),
    "week": ("day", 7),
    "month": ("month", 1),
    "quarter": ("month", 3),
    "year": ("month", 12),
}
_EVERY = re.compile(r"(?:(\d+)\s+)?([a-z]+?)s?", re.IGNORECASE)


def zone_of(name: str) -> ZoneInfo:
    """
    A time zone by its name.

    Raises:
        DeclarationError: there is none of that name.
    """
    text("", "time_zone", name, "the name of a time zone, such as 'Europe/Berlin' or 'UTC'")
    return _zone_of(name)


@cache
def _zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DeclarationError(
            f"time_zone={name!r} is not a time zone: give a name such as 'Europe/Berlin' or 'UTC' "
            "(on Windows, install the package tzdata)"
        ) from error


def step_of(every: str | int | timedelta, option: str = "every") -> tuple[int, str]:
    """
    A step as a count of minutes, days, months or integers.

    >>> step_of("quarter"), step_of("15 minutes"), step_of(timedelta(days=10)), step_of(1000)
    ((3, 'month'), (15, 'minute'), (10, 'day'), (1000, 'integer'))

    Raises:
        DeclarationError: it is none of these.
    """
    if isinstance(every, int) and not isinstance(every, bool):
        if every > 0:
            return every, "integer"
    elif isinstance(every, timedelta):
        if every > timedelta(0) and every % timedelta(days=1) == timedelta(0):
            return every.days, "day"
        if every > timedelta(0) and every % _MINUTE == timedelta(0):
            return every // _MINUTE, "minute"
    elif isinstance(every, str):
        found = _EVERY.fullmatch(every.strip())
        unit = _UNITS.get(found[2].lower()) if found else None
        if found and unit and int(found[1] or 1) > 0:
            return int(found[1] or 1) * unit[1], unit[0]
    raise DeclarationError(
        f"{option}={shown(every)} is not a step: give 'hour', 'day', 'week', 'month', 'quarter', "
        "'year', a count of them such as '15 minutes' or '10 days', a timedelta of whole minutes, "
        "or a whole number above 0 for an integer key"
    )


@dataclass(frozen=True, slots=True)
class Grid:
    """
    The cells of one key: without gaps, without overlaps.

    Attributes:
        kind: ``timestamptz``, ``timestamp``, ``date``, ``uuid7``, ``smallint``, ``integer`` or
            ``bigint``.
        count: how many units a cell has.
        unit: ``minute``, ``day``, ``month`` or ``integer``.
        time_zone: whose midnights count, for ``timestamptz`` and ``uuid7``; of the others, it
            tells what "now" is.
    """

    kind: str
    count: int
    unit: str
    time_zone: str = "UTC"

    @classmethod
    def of(
        cls, every: str | int | timedelta, time_zone: str = "UTC", kind: str = "timestamptz"
    ) -> Grid:
        """
        The grid of a step.

        Raises:
            DeclarationError: the step does not fit the kind of key.
        """
        count, unit = step_of(every)
        zone_of(time_zone)
        one_of("Grid", "kind", kind, (*TIMES, *INTEGERS))
        if (unit == "integer") != (kind in INTEGERS):
            fit = "a whole number" if kind in INTEGERS else "a span of time such as '1 month'"
            raise DeclarationError(f"every={every!r} does not fit a key of type {kind}: give {fit}")
        if kind == "date" and unit == "minute":
            raise DeclarationError(f"every={every!r} does not fit a date: a day is the least")
        return cls(kind, count, unit, time_zone)

    # -- cells ------------------------------------------------------------------------------

    def cell(self, value: Any) -> RangeBound:
        """
        The cell that a value is in.
        """
        number = self._number(value)
        lower, upper = self.boundary(number), self.boundary(number + 1)
        place = self._inner(value)
        while upper is not None and upper <= place:
            number += 1
            lower, upper = upper, self.boundary(number + 1)
        while lower is not None and place < lower:
            number -= 1
            lower, upper = self.boundary(number), lower
        return RangeBound(self._outer(lower), self._outer(upper))

    def next(self, bound: RangeBound) -> RangeBound | None:
        """
        The cell after a partition; only what is left of it where that ends within a cell.
        """
        if bound.upper is None:
            return None
        return RangeBound(bound.upper, self.cell(bound.upper).upper)

    def previous(self, bound: RangeBound) -> RangeBound | None:
        """
        The cell before a partition; only what is left of it where that begins within a cell.
        """
        if bound.lower is None:
            return None
        least = timedelta(microseconds=1)
        place = self._inner(bound.lower)
        try:
            before = place - 1 if isinstance(place, int) else place - least
            return RangeBound(self.cell(self._value(before)).lower, bound.lower)
        except OverflowError:  # before the year 1
            return RangeBound(None, bound.lower)

    def cells(self, first: Any, last: Any) -> Iterator[RangeBound]:
        """
        The cells from that of one value to that of another.
        """
        cell: RangeBound | None = self.cell(first)
        while cell is not None and (cell.lower is None or cell.lower <= last):
            yield cell
            cell = self.next(cell)

    def ahead(self, first: Any, current: Any, premake: int) -> Iterator[RangeBound]:
        """
        The cells from that of one value to that of the current one, and so many more.
        """
        cell: RangeBound | None = self.cell(min(first, current))
        left = premake
        while cell is not None:
            yield cell
            if cell.holds(current) or (cell.lower is not None and cell.lower > current):
                left -= 1
                if left < 0:
                    return
            cell = self.next(cell)

    def count_between(self, low: Any, high: Any) -> float:
        """
        About how many cells lie between two values, as the premake function counts them.

        >>> Grid.of("month").count_between(datetime(2026, 1, 20), datetime(2026, 3, 1))
        2.0
        """
        if self.unit == "integer":
            return float((high - low) / self.count)
        begin, end = self._inner(low), self._inner(high)
        if self.unit == "month":
            return float(((end.year - begin.year) * 12 + end.month - begin.month) / self.count)
        step = self.count * (_MINUTE if self.unit == "minute" else timedelta(days=1))
        return float((end - begin) / step)

    def key(self, value: Any) -> Any:
        """
        A value as the key has it: of a moment the lowest uuid7, of a datetime the date.
        """
        return self._value(self._inner(value))

    def place(self, value: Any) -> str:
        """
        A value as the premake function reads it: a number, or a moment as if in UTC.
        """
        found = self._inner(value)
        return str(found) if isinstance(found, int) else instant(found)

    def value_at(self, moment: datetime) -> Any:
        """
        What a key of this kind says at a moment: the lowest uuid7, the date in the zone.

        Raises:
            DeclarationError: the key is a number, which knows no time.
        """
        if self.unit == "integer":
            raise DeclarationError("an integer key does not tell the time")
        moment = moment.astimezone(_UTC)
        if self.kind == "timestamptz":
            return moment
        if self.kind == "uuid7":
            return _uuid(moment)
        local = moment.astimezone(_zone_of(self.time_zone)).replace(tzinfo=None)
        return local.date() if self.kind == "date" else local

    def moment_of(self, value: Any) -> datetime:
        """
        The moment that a key of time stands for: the inverse of `value_at`.
        """
        place: datetime = self._inner(value)
        if self.kind in ("timestamp", "date"):
            return _at(place.replace(tzinfo=None), self.time_zone) or place
        return place

    def back(self, moment: datetime, count: int, unit: str) -> datetime:
        """
        The moment so many units earlier, by the clock of the zone.

        >>> Grid.of("month").back(datetime(2026, 3, 31, 12, tzinfo=timezone.utc), 1, "month")
        datetime.datetime(2026, 2, 28, 12, 0, tzinfo=datetime.timezone.utc)
        """
        if unit == "minute":
            return moment - count * _MINUTE
        local = moment.astimezone(_zone_of(self.time_zone)).replace(tzinfo=None)
        if unit == "day":
            local -= timedelta(days=count)
        else:
            months = local.year * 12 + local.month - 1 - count
            year, month = divmod(months, 12)
            days = (_first(year, month + 1 + 1) - timedelta(days=1)).day
            local = local.replace(year=year, month=month + 1, day=min(local.day, days))
        found = _at(local, self.time_zone)
        assert found is not None  # only beyond the years 1 to 9999
        return found

    # -- inside: integers, or aware datetimes in UTC -------------------------------------------

    @property
    def _zone(self) -> str:
        return self.time_zone if self.kind in ("timestamptz", "uuid7") else "UTC"

    def boundary(self, number: int) -> Any:
        """
        Where a cell begins, by its number: an integer or a moment; None where there is none.
        """
        try:
            if self.unit == "integer":
                found = number * self.count
                return found if -INTEGERS[self.kind] <= found < INTEGERS[self.kind] else None
            if self.unit == "minute":
                return _EPOCH + number * self.count * _MINUTE
            if self.unit == "day":
                day = _MONDAY + timedelta(days=number * self.count)
            else:
                day = _first(2000, 1 + number * self.count)
            return _at(datetime(day.year, day.month, day.day), self._zone)  # noqa: DTZ001  # local
        except (OverflowError, ValueError):
            return None

    def _number(self, value: Any) -> int:
        """
        Near enough to the number of the cell that a value is in.
        """
        place = self._inner(value)
        if self.unit == "integer":
            return int(place // self.count)
        if self.unit == "minute":
            return int((place - _EPOCH) // (self.count * _MINUTE))
        try:
            local = place.astimezone(_zone_of(self._zone))
        except OverflowError:
            local = place
        if self.unit == "day":
            return int((local.date() - _MONDAY).days // self.count)
        return int(((local.year - 2000) * 12 + local.month - 1) // self.count)

    def _inner(self, value: Any) -> Any:
        if self.unit == "integer":
            return value
        if isinstance(value, UUID):
            return _UNIX + timedelta(milliseconds=value.int >> 80)
        if not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=_UTC)
        return value.replace(tzinfo=_UTC) if value.tzinfo is None else value.astimezone(_UTC)

    def _outer(self, place: Any) -> Any:
        return place if place is None else self._value(place)

    def _value(self, place: Any) -> Any:
        if self.unit == "integer" or self.kind == "timestamptz":
            return place
        if self.kind == "uuid7":
            return _uuid(place) if place > _UNIX else None
        return place.date() if self.kind == "date" else place.replace(tzinfo=None)


def _first(year: int, month: int) -> date:
    """
    The first day of a month, counted on over the year's end.
    """
    more, month = divmod(month - 1, 12)
    return date(year + more, month + 1, 1)


def _at(local: datetime, zone: str) -> datetime | None:
    """
    The moment of a clock's reading, as ``AT TIME ZONE`` has it: of two, the later one.
    """
    aware = local.replace(tzinfo=_zone_of(zone))
    offsets = [aware.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1)]
    try:
        return local.replace(tzinfo=_UTC) - min(offsets)
    except OverflowError:
        return None


def _uuid(moment: datetime) -> UUID:
    """
    The lowest uuid7 of a moment: its milliseconds, and nothing else.
    """
    milliseconds = (moment - _UNIX) // timedelta(milliseconds=1)
    return UUID(int=max(milliseconds, 0) << 80)
