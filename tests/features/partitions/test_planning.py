from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgultra.features.partitions import ByHash, ByList, ByRange, DefaultBound, Grid, ListBound
from pgultra.features.partitions.bounds import HashBound, RangeBound
from pgultra.features.partitions.planning import (
    Action,
    MaintenancePlan,
    cutoff_of,
    expired,
    gaps,
    missing,
    next_gap,
    sorted_ranges,
)

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Cairo",
]
STEPS = ["hour", "6 hours", "day", "10 days", "week", "month", "quarter", "year"]
MOMENTS = st.datetimes(datetime(1975, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # the zone comes apart


def run(rules: ByRange, zone: str, moment: datetime, there: list[Any]) -> list[RangeBound]:
    """
    What maintain leaves behind: new ones made, old ones gone.
    """
    grid = Grid.of(rules.every or "month", zone)
    made = missing(rules, grid, there, moment, (), moment)
    cutoff = cutoff_of(rules, grid, moment, moment)
    return [each for each in sorted_ranges([*there, *made]) if not expired(each, cutoff)]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 120), st.integers(0, 5)),
        min_size=1,
        max_size=6,
    ),
    MOMENTS,
)
def test_whatever_the_steps_nothing_overlaps_and_no_gap_stays(
    zone: str, runs: list[tuple[str, int, int]], moment: datetime
) -> None:
    """
    Runs under changing steps, in any zone, at growing times: ranges touch, and hold the present.
    """
    there: list[RangeBound] = []
    for every, days, premake in runs:
        moment += timedelta(days=days if every not in ("hour", "6 hours") else days % 7)
        rules = ByRange("at", every=every, premake=premake, retain="90 days")
        there = run(rules, zone, moment, there)
        for one, two in pairwise(there):
            assert one.upper == two.lower
        assert sum(each.holds(moment) for each in there) == 1
        assert gaps(there) == ()
        assert next_gap(there, moment) == there[-1].upper
        again = missing(rules, Grid.of(every, zone), there, moment, (), moment)
        assert again == ()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(STEPS), MOMENTS, st.integers(1, 30))
def test_what_is_kept_is_never_taken_away(
    zone: str, every: str, moment: datetime, days: int
) -> None:
    """
    A row within the time to keep is in no expired partition; one a cell older is in one.
    """
    rules = ByRange("at", every=every, retain=f"{days} days")
    grid = Grid.of(every, zone)
    cutoff = cutoff_of(rules, grid, moment, moment)
    kept = grid.cell(cutoff)
    assert not expired(kept, cutoff)
    assert expired(grid.previous(kept), cutoff)
    assert abs((moment - cutoff) - timedelta(days=days)) <= timedelta(hours=25)


@pytest.mark.parametrize(
    ("retain", "moment", "cutoff"),
    [
        ("1 month", datetime(2026, 3, 31, 12, tzinfo=UTC), datetime(2026, 2, 28, 12, tzinfo=UTC)),
        ("12 months", datetime(2028, 2, 29, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
        ("2 hours", datetime(2026, 3, 1, 1, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC)),
        (timedelta(days=1), datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, tzinfo=UTC)),
    ],
)
def test_months_are_counted_back_by_the_calendar(
    retain: Any, moment: datetime, cutoff: datetime
) -> None:
    """
    A month before the end of March is the end of February.
    """
    rules = ByRange("at", every="1 day", retain=retain)
    assert cutoff_of(rules, Grid.of("1 day"), moment, moment) == cutoff


def test_dates_and_numbers_are_kept_likewise() -> None:
    """
    The cutoff of a date is a date, that of a number is counted from the greatest.
    """
    moment = datetime(2026, 3, 15, tzinfo=UTC)
    by_date = cutoff_of(
        ByRange("on", every="1 month", retain="1 month"),
        Grid.of("1 month", kind="date"),
        moment,
        None,
    )
    assert by_date == date(2026, 2, 15)
    numbers = ByRange("id", every=100, retain=250)
    assert cutoff_of(numbers, Grid.of(100, kind="bigint"), moment, 1000) == 750
    assert cutoff_of(ByHash("id"), None, moment, None) is None


def test_lists_and_hashes_want_what_is_not_taken() -> None:
    """
    A group of which another partition holds a value is not made beside it.
    """
    rules = ByList("kind", {"a": ("A", "B"), "c": ("C",)}, default=True)
    fixed = [ListBound(("A", "B")), ListBound(("C",)), DefaultBound()]
    assert missing(rules, None, [], None, fixed) == tuple(fixed)
    assert missing(rules, None, [ListBound(("B",))], None, fixed) == tuple(fixed[1:])
    assert missing(rules, None, fixed, None, fixed) == ()
    hashes = [HashBound(4, n) for n in range(4)]
    there = [HashBound(8, 1), HashBound(8, 5), HashBound(4, 0)]
    assert missing(ByHash("id", 4), None, there, None, hashes) == tuple(hashes[2:])


def test_open_ends_leave_nothing_to_make() -> None:
    """
    A partition without an upper limit holds the future; one without a lower one the past.
    """
    moment = datetime(2026, 3, 15, tzinfo=UTC)
    rules = ByRange("at", every="1 month", premake=3, retain="1 month")
    everything = [RangeBound(None, None)]
    assert missing(rules, Grid.of("1 month"), everything, moment, (), moment) == ()
    assert next_gap(everything, moment) is None
    past = [RangeBound(None, datetime(2026, 3, 1, tzinfo=UTC))]
    assert len(missing(rules, Grid.of("1 month"), past, moment, (), moment)) == 4
    assert next_gap(past, moment) == moment
    assert not expired(RangeBound(datetime(2020, 1, 1, tzinfo=UTC), None), moment)


def test_a_plan_prints_and_counts() -> None:
    """
    By table, with findings marked; an empty one is false.
    """
    assert (str(MaintenancePlan()), bool(MaintenancePlan())) == ("nothing to do", False)
    action = Action("drop", "event", "event_2026_01", RangeBound(1, 2), "older", ("DROP …",))
    told = MaintenancePlan((action,), ("look at it",))
    assert str(told) == (
        "event:\n  detach and drop event_2026_01 from ('1') to ('2')  (older)\n! look at it"
    )
    assert told.as_sql().startswith("-- event: detach and drop event_2026_01")
    assert (list(told), bool(told)) == ([action], True)
