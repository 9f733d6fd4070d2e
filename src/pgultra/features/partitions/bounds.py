"""
Bounds of partitions as values, and their text, both ways.

>>> RangeBound(1, 10).render()
"FOR VALUES FROM ('1') TO ('10')"
>>> parse_bound("FOR VALUES IN ('LOGIN', NULL)", "text")
ListBound(values=('LOGIN',), null=True)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from pgultra import sql

__all__ = [
    "Bound",
    "DefaultBound",
    "HashBound",
    "ListBound",
    "RangeBound",
    "Value",
    "instant",
    "literal",
    "parse_bound",
]

Value: TypeAlias = datetime | date | int | UUID | str | Decimal | bool
"""What a key can be. A datetime is aware for ``timestamptz``, and naive for ``timestamp``."""

_UTC = timezone.utc  # noqa: UP017  # `datetime.UTC` is the same object, and reads like a column


@dataclass(frozen=True, slots=True)
class RangeBound:
    """
    From ``lower`` on, up to ``upper``, which is not in it; None has no limit.

    A limit that Python cannot hold reads as None where it is one, and otherwise, as of a
    partition that begins after the year 9999, as the last or first moment of Python's.

    >>> RangeBound(date(2026, 1, 1), date(2026, 2, 1)).holds(date(2026, 1, 31))
    True
    """

    lower: Any
    upper: Any

    def render(self) -> str:
        """
        As after the name in ``ATTACH PARTITION name``.
        """
        lower = "MINVALUE" if self.lower is None else literal(self.lower)
        upper = "MAXVALUE" if self.upper is None else literal(self.upper)
        return f"FOR VALUES FROM ({lower}) TO ({upper})"

    def check(self, column_sql: str) -> str:
        """
        A CHECK that implies the bound: with it, ATTACH need not scan.
        """
        parts = [f"{column_sql} IS NOT NULL"]
        if self.lower is not None:
            parts.append(f"{column_sql} >= {typed(self.lower)}")
        if self.upper is not None:
            parts.append(f"{column_sql} < {typed(self.upper)}")
        return " AND ".join(parts)

    def overlaps(self, other: Bound) -> bool:
        """
        Whether a value could be in both.
        """
        return (
            isinstance(other, RangeBound)
            and _below(self.lower, other.upper)
            and _below(other.lower, self.upper)
        )

    def holds(self, value: Any) -> bool:
        """
        Whether a value is in it.
        """
        return (self.lower is None or self.lower <= value) and (
            self.upper is None or value < self.upper
        )

    def minus(self, others: list[RangeBound]) -> list[RangeBound]:
        """
        What is left of it when others are taken away, in order.

        >>> RangeBound(0, 10).minus([RangeBound(2, 4), RangeBound(8, 20)])
        [RangeBound(lower=0, upper=2), RangeBound(lower=4, upper=8)]
        """
        left = [self]
        for other in others:
            pieces = []
            for piece in left:
                if not piece.overlaps(other):
                    pieces.append(piece)
                    continue
                if other.lower is not None and (piece.lower is None or piece.lower < other.lower):
                    pieces.append(RangeBound(piece.lower, other.lower))
                if other.upper is not None and (piece.upper is None or other.upper < piece.upper):
                    pieces.append(RangeBound(other.upper, piece.upper))
            left = pieces
        return left

    def __str__(self) -> str:
        return self.render().removeprefix("FOR VALUES ").lower()


@dataclass(frozen=True, slots=True)
class ListBound:
    """
    These values; and NULL, if so said.

    >>> ListBound(("LOGIN", "LOGOUT"), null=True).render()
    "FOR VALUES IN ('LOGIN', 'LOGOUT', NULL)"
    """

    values: tuple[Any, ...]
    null: bool = False

    def render(self) -> str:
        """
        As after the name in ``ATTACH PARTITION name``.
        """
        items = [*map(literal, self.values), *(["NULL"] if self.null else [])]
        return f"FOR VALUES IN ({', '.join(items)})"

    def check(self, column_sql: str) -> str:
        """
        A CHECK that implies the bound.
        """
        listed = f"{column_sql} IN ({', '.join(map(literal, self.values))})" if self.values else ""
        if self.null:
            return f"{column_sql} IS NULL OR {listed}" if listed else f"{column_sql} IS NULL"
        return f"{column_sql} IS NOT NULL AND {listed}"

    def overlaps(self, other: Bound) -> bool:
        """
        Whether a value could be in both.
        """
        return isinstance(other, ListBound) and bool(
            (self.null and other.null) or set(self.values) & set(other.values)
        )

    def holds(self, value: Any) -> bool:
        """
        Whether a value is in it.
        """
        return self.null if value is None else value in self.values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ListBound):
            return NotImplemented
        return set(self.values) == set(other.values) and self.null == other.null

    def __hash__(self) -> int:
        return hash((frozenset(self.values), self.null))

    def __str__(self) -> str:
        return self.render().removeprefix("FOR VALUES ").replace("IN ", "in ", 1)


@dataclass(frozen=True, slots=True)
class HashBound:
    """
    The rows whose hashed key leaves this remainder.

    >>> HashBound(8, 3).render()
    'FOR VALUES WITH (modulus 8, remainder 3)'
    """

    modulus: int
    remainder: int

    def render(self) -> str:
        """
        As after the name in ``ATTACH PARTITION name``.
        """
        return f"FOR VALUES WITH (modulus {self.modulus}, remainder {self.remainder})"

    def check(self, column_sql: str) -> str:
        """
        Nothing: no CHECK implies a hash.
        """
        return ""

    def overlaps(self, other: Bound) -> bool:
        """
        Whether a row could be in both: one modulus is always a factor of the other.
        """
        if not isinstance(other, HashBound):
            return False
        smaller = min(self.modulus, other.modulus)
        return self.remainder % smaller == other.remainder % smaller

    def __str__(self) -> str:
        return f"with (modulus {self.modulus}, remainder {self.remainder})"


@dataclass(frozen=True, slots=True)
class DefaultBound:
    """
    What no other partition takes.

    >>> DefaultBound().render()
    'DEFAULT'
    """

    def render(self) -> str:
        """
        As after the name in ``ATTACH PARTITION name``.
        """
        return "DEFAULT"

    def check(self, column_sql: str) -> str:
        """
        Nothing: it depends on the others.
        """
        return ""

    def overlaps(self, other: Bound) -> bool:
        """
        Whether there would be two.
        """
        return isinstance(other, DefaultBound)

    def __str__(self) -> str:
        return "default"


Bound: TypeAlias = RangeBound | ListBound | HashBound | DefaultBound


def _below(lower: Any, upper: Any) -> bool:
    return lower is None or upper is None or lower < upper


def instant(value: datetime) -> str:
    """
    A moment as text, with the offset of UTC written out; naive ones stay naive.

    >>> instant(datetime(2026, 1, 1, tzinfo=timezone.utc))
    '2026-01-01 00:00:00+00'
    """
    if value.tzinfo is None:
        return value.isoformat(sep=" ")
    return value.astimezone(_UTC).replace(tzinfo=None).isoformat(sep=" ") + "+00"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def literal(value: Any) -> str:
    """
    A value as a bound says it: a quoted constant without a type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return sql.literal(_text(value))


def typed(value: Any) -> str:
    """
    A value as an expression says it: with the type that its column has.
    """
    if isinstance(value, datetime):
        zone = "timestamptz" if value.tzinfo is not None else "timestamp"
        return f"{zone} {sql.literal(_text(value))}"
    if isinstance(value, date):
        return f"date {sql.literal(_text(value))}"
    if isinstance(value, UUID):
        return f"uuid {sql.literal(_text(value))}"
    return literal(value)


# -- back from PostgreSQL ---------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<quoted>E?'(?:[^']|'')*')|(?P<word>MINVALUE|MAXVALUE|NULL|true|false)"
    r"|(?P<number>\(?-?[0-9][0-9.eE+-]*\)?))(?:::[\w \"().\[\]]+?)?\s*(?:,|$)"
)
_RANGE = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)", re.DOTALL)
_LIST = re.compile(r"FOR VALUES IN \((.*)\)", re.DOTALL)
_HASH = re.compile(r"FOR VALUES WITH \(modulus (\d+), remainder (\d+)\)")


def parse_bound(text: str, type_: str) -> Bound:
    """
    Read what ``pg_get_expr(relpartbound, oid)`` prints, in UTC and with DateStyle ISO.

    Args:
        text: as PostgreSQL prints it.
        type_: the key's type as ``format_type`` prints it.

    Raises:
        ValueError: it is not a bound.
    """
    if text == "DEFAULT":
        return DefaultBound()
    if found := _HASH.fullmatch(text):
        return HashBound(int(found[1]), int(found[2]))
    if found := _LIST.fullmatch(text):
        items = [_value(item, type_) for item in _items(found[1])]
        return ListBound(tuple(i for i in items if i is not None), any(i is None for i in items))
    if found := _RANGE.fullmatch(text):
        ends = []
        for is_upper, side in enumerate(found.groups()):
            values = [_limit(item, type_, is_upper=bool(is_upper)) for item in _items(side)]
            ends.append(values[0] if len(values) == 1 else tuple(values))
        return RangeBound(*ends)
    raise ValueError(f"{text!r} is not the bound of a partition")


def _items(text: str) -> list[str | None]:
    """
    The constants of a list as text; None for NULL, MINVALUE and MAXVALUE.
    """
    items: list[str | None] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"{text!r} is not a list of constants")
        at = found.end()
        quoted, word, number = found["quoted"], found["word"], found["number"]
        if quoted is not None:
            escaped = quoted.startswith("E")
            inner = quoted[2 if escaped else 1 : -1].replace("''", "'")
            items.append(inner.replace("\\\\", "\\") if escaped else inner)
        elif word is not None:
            items.append(word if word in ("true", "false") else None)
        else:
            items.append(number.strip("()"))
    return items


def _limit(text: str | None, type_: str, *, is_upper: bool) -> Any:
    """
    One end of a range; a time beyond Python's is its last or first, if the range lies there.
    """
    found = _value(text, type_)
    if found is not None or text is None:
        return found
    is_early = text.endswith("BC") or text.startswith(("-infinity", "0001-"))
    if is_early != is_upper:
        return None
    if type_ == "date":
        return date.min if is_early else date.max
    zone = _UTC if type_.endswith("with time zone") else None
    return datetime.min.replace(tzinfo=zone) if is_early else datetime.max.replace(tzinfo=zone)


def _value(text: str | None, type_: str) -> Any:
    """
    A constant as a value of Python; what Python cannot hold has no limit.
    """
    if text is None:
        return None
    try:
        if type_.startswith("timestamp"):
            found = datetime.fromisoformat(text)
            if found.tzinfo is not None:
                found = found.astimezone(_UTC)
            return found.replace(tzinfo=_UTC if type_.endswith("with time zone") else None)
        if type_ == "date":
            return datetime.fromisoformat(text).date()
    except (ValueError, OverflowError):  # infinity, BC, or after the year 9999
        return None
    if type_ in ("smallint", "integer", "bigint"):
        return int(text)
    if type_.startswith("numeric"):
        return Decimal(text)
    if type_ in ("real", "double precision"):
        return float(text)
    if type_.startswith("character("):
        return text.rstrip(" ")  # which PostgreSQL adds, and does not compare
    if type_ == "uuid":
        return UUID(text)
    if type_ == "boolean":
        return text == "true" or text == "t"
    return text
