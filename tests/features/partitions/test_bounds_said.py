"""
Bounds as text: as PostgreSQL prints them, as SQL says them, and what none of them is.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from pgultra import DeclarationError
from pgultra.features.partitions.bounds import (
    DefaultBound,
    HashBound,
    ListBound,
    RangeBound,
    literal,
    parse_bound,
    typed,
)
from pgultra.features.partitions.calendar import step_of
from pgultra.features.partitions.growth import outside
from pgultra.features.partitions.keys import check_unique_rules, kind_of

KEY = uuid.UUID(int=7)
NINE = datetime(2026, 1, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (RangeBound(1, 5), "n IS NULL OR n < '1' OR n >= '5'"),
        (RangeBound(None, 5), "n IS NULL OR n >= '5'"),
        (RangeBound(1, None), "n IS NULL OR n < '1'"),
        (ListBound(("a", "b")), "n IS NULL OR n NOT IN ('a', 'b')"),
        (ListBound(("a",), null=True), "n IS NOT NULL AND n NOT IN ('a')"),
        (ListBound((), null=True), None),
        (HashBound(4, 1), None),
        (DefaultBound(), None),
    ],
)
def test_what_lies_outside(bound: Any, said: str | None) -> None:
    """
    The opposite that PostgreSQL can prove; none where there is no such condition.
    """
    assert outside(bound, "n") == said


@pytest.mark.parametrize(
    ("value", "bare", "with_type"),
    [
        (True, "true", "true"),
        (False, "false", "false"),
        (KEY, f"'{KEY}'", f"uuid '{KEY}'"),
        (date(2026, 1, 2), "'2026-01-02'", "date '2026-01-02'"),
        (Decimal("1.50"), "'1.50'", "'1.50'"),
        ("it's", "'it''s'", "'it''s'"),
    ],
)
def test_values(value: Any, bare: str, with_type: str) -> None:
    """
    As constants in a bound, and in an expression.
    """
    assert literal(value) == bare
    assert typed(value) == with_type


def test_moments_are_typed_by_their_zone() -> None:
    """
    With one it is a timestamptz.
    """
    assert typed(NINE).startswith("timestamptz '2026-01-02 09:00:00")
    assert typed(NINE.replace(tzinfo=None)).startswith("timestamp '2026-01-02 09:00:00")


@pytest.mark.parametrize(
    ("text", "type_", "bound"),
    [
        ("DEFAULT", "integer", DefaultBound()),
        ("FOR VALUES WITH (modulus 4, remainder 1)", "integer", HashBound(4, 1)),
        ("FOR VALUES IN (1.50, NULL)", "numeric(5,2)", ListBound((Decimal("1.50"),), null=True)),
        ("FOR VALUES IN (true)", "boolean", ListBound((True,))),
        (f"FOR VALUES IN ('{KEY}')", "uuid", ListBound((KEY,))),
        ("FOR VALUES IN ('1.5')", "double precision", ListBound((1.5,))),
        ("FOR VALUES IN ('ab  ')", "character(4)", ListBound(("ab",))),
        ("FOR VALUES FROM (MINVALUE) TO ('5')", "bigint", RangeBound(None, 5)),
        (
            "FOR VALUES FROM ('2026-01-02') TO (MAXVALUE)",
            "date",
            RangeBound(date(2026, 1, 2), None),
        ),
    ],
)
def test_what_postgresql_prints(text: str, type_: str, bound: Any) -> None:
    """
    With the Python type that the column's values have.
    """
    assert parse_bound(text, type_) == bound


@pytest.mark.parametrize("text", ["FOR VALUES", "", "FOR VALUES IN (1 + 1)", "IN (')"])
def test_what_is_no_bound(text: str) -> None:
    """
    A later PostgreSQL may print something new: it is said, and not guessed.
    """
    with pytest.raises(ValueError, match="is not "):
        parse_bound(text, "integer")


def test_a_hash_overlaps_hashes_only() -> None:
    """
    One modulus is a factor of the other.
    """
    assert HashBound(4, 1).overlaps(HashBound(8, 5))
    assert not HashBound(4, 1).overlaps(HashBound(8, 4))
    assert not HashBound(4, 1).overlaps(ListBound((1,)))


@pytest.mark.parametrize("every", [timedelta(0), timedelta(days=-1), timedelta(seconds=7), 0, "1"])
def test_steps_that_are_none(every: Any) -> None:
    """
    The error names what a step may be.
    """
    with pytest.raises(DeclarationError, match="every="):
        step_of(every)


def test_steps() -> None:
    """
    Whole days are days, whatever they are said in.
    """
    assert step_of(timedelta(hours=48)) == (2, "day")
    assert step_of(timedelta(hours=6)) == (360, "minute")


class Whole(sa.types.TypeDecorator[int]):
    """
    A host's type.
    """

    impl = sa.BigInteger
    cache_ok = True


def test_a_hosts_type_is_what_it_stands_on() -> None:
    """
    However deep.
    """

    class Wider(sa.types.TypeDecorator[int]):
        impl = Whole
        cache_ok = True

    assert kind_of(sa.Column("n", Wider)) == kind_of(sa.Column("n", sa.BigInteger)) == "bigint"


def test_an_exclusion_constraint_must_hold_the_key() -> None:
    """
    PostgreSQL makes none that does not, on a partitioned table.
    """
    during = sa.Column("during", sa.Text)
    at = sa.Column("at", sa.DateTime(timezone=True), primary_key=True)
    table = sa.Table(
        "stay", sa.MetaData(), at, during, ExcludeConstraint((during, "&&"), name="apart")
    )
    with pytest.raises(DeclarationError, match="exclusion constraint on"):
        check_unique_rules(table, [at], "table stay")
