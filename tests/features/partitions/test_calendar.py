"""
For any zone, step, start and clock: no overlap, no gap, and every value in its cell.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgultra import ByHash, ByList, ByRange, declare, plan
from pgultra.features.partitions.bounds import RangeBound, parse_bound
from pgultra.features.partitions.calendar import INTEGERS, Grid
from pgultra.features.partitions.children import parents_of, read_children
from pgultra.features.partitions.names import child_name
from pgultra.features.partitions.registration import registered
from pgultra.features.partitions.rules import rules_on
from pgultra.sql import NAME_BYTES

ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
CHANGING = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Pacific/Apia",  # lost 30 December 2011
    "America/Havana",  # changes at midnight
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Antarctica/Troll",  # by two hours
]
"""Zones on whose past every edition of the time zone data agrees."""

counts = st.integers(1, 40)
steps = st.one_of(
    st.sampled_from(["hour", "day", "week", "month", "quarter", "year", "15 minutes"]),
    st.builds("{} {}s".format, counts, st.sampled_from(["minute", "hour", "day", "week", "month"])),
    st.timedeltas(timedelta(days=1), timedelta(days=500)).map(lambda d: timedelta(days=d.days)),
)
moments = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001  # in the zone that follows
    datetime(9999, 12, 30),  # noqa: DTZ001  # the zone comes apart
    timezones=st.just(UTC),
)
TURNS = [
    datetime(2011, 12, 30, 9, 59, 59, tzinfo=UTC),  # the day that Apia lost
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin springs forward
    datetime(2026, 10, 25, 0, 59, tzinfo=UTC),  # and falls back
    datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC),
    datetime(1, 1, 2, tzinfo=UTC),
]
clocks = st.one_of(moments, st.sampled_from(TURNS))


def contiguous(cells: list[RangeBound]) -> bool:
    """
    Whether each cell is above nothing and ends where the next one begins.
    """
    inner = [(cell.lower, cell.upper) for cell in cells if None not in (cell.lower, cell.upper)]
    return all(low < high for low, high in inner) and all(
        one.upper == other.lower for one, other in pairwise(cells)
    )


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(step=steps, zone=st.sampled_from(ZONES), clock=clocks, count=st.integers(1, 30))
@example(step="day", zone="Pacific/Apia", clock=TURNS[0], count=5)
@example(step="1 minute", zone="America/Havana", clock=TURNS[3], count=3)
def test_cells_of_time(step: Any, zone: str, clock: datetime, count: int) -> None:
    """
    Every zone that Python knows, from the year 1 to 9999.
    """
    grid = Grid.of(step, zone)
    cell = grid.cell(clock)
    assert cell.holds(clock)
    row = [cell]
    while len(row) < count and (after := grid.next(row[-1])) is not None:
        row.append(after)
    while len(row) < 2 * count and (before := grid.previous(row[0])) is not None:
        row.insert(0, before)
    assert contiguous(row)
    for each in row:
        assert each.lower is None or grid.cell(each.lower) == each
        if None not in (each.lower, each.upper):
            assert grid.cell(each.upper - timedelta(microseconds=1)) == each


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(step=steps, zone=st.sampled_from(ZONES), clock=clocks, back=st.integers(0, 20))
def test_premake_covers_the_present_and_more(
    step: Any, zone: str, clock: datetime, back: int
) -> None:
    """
    From the first cell to the present one and exactly so many more; all kinds of time.
    """
    for kind in ("timestamptz", "timestamp", "date", "uuid7"):
        if clock.year < 1971:
            continue
        if kind == "date" and Grid.of(step).unit == "minute":
            continue
        grid = Grid.of(step, zone, kind)
        try:
            present = grid.value_at(clock)
        except OverflowError:
            continue
        first = grid.cell(present)
        for _ in range(back):
            first = grid.previous(first) or first
        start = first.lower if first.lower is not None else present
        cells = list(grid.ahead(start, present, 3))
        assert contiguous(cells)
        at = next(place for place, cell in enumerate(cells) if cell.holds(present))
        assert len(cells) - at == 4 or cells[-1].upper is None
        assert cells[0] == grid.cell(start)


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(sorted(INTEGERS)),
    step=st.integers(1, 2**40),
    number=st.integers(-(2**63), 2**63 - 1),
)
def test_cells_of_numbers(kind: str, step: int, number: int) -> None:
    """
    Down to the least and up to the greatest number of each type.
    """
    limit = INTEGERS[kind]
    number = max(-limit, min(limit - 1, number))
    grid = Grid.of(step, kind=kind)
    cell = grid.cell(number)
    assert cell.holds(number)
    before, after = grid.previous(cell), grid.next(cell)
    assert contiguous([each for each in (before, cell, after) if each is not None])
    for each in (cell.lower, cell.upper):
        assert each is None or -limit <= each < limit


@settings(max_examples=200, deadline=None)
@given(clock=moments, zone=st.sampled_from(CHANGING), count=st.integers(1, 30))
def test_uuids_of_version_7_tell_their_cell(clock: datetime, zone: str, count: int) -> None:
    """
    Whatever its random bits are, a uuid7 is in the cell of its millisecond.
    """
    if clock.year < 1971:
        return
    grid = Grid.of(f"{count} days", zone, "uuid7")
    cell = grid.cell(grid.value_at(clock))
    for tail in (0, 2**74 - 1):
        high, low = divmod(tail, 2**62)
        value = UUID(int=(grid.value_at(clock).int | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
        assert cell.holds(value)
    assert grid.moment_of(grid.value_at(clock)) <= clock


values = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda v: (v, "timestamp with time zone")),
    st.datetimes().map(lambda v: (v, "timestamp without time zone")),
    st.dates().map(lambda v: (v, "date")),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: (v, "bigint")),
    st.uuids().map(lambda v: (v, "uuid")),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])).map(
        lambda v: (v, "text")
    ),
)


@settings(max_examples=200, deadline=None)
@given(value=values)
@example(value=("\\t", "text"))
def test_bounds_are_read_back_as_rendered(value: tuple[Any, str]) -> None:
    """
    parse_bound(bound.render()) is the bound, for all types and texts.
    """
    plain, type_ = value
    for bound in (RangeBound(plain, None), RangeBound(None, plain), RangeBound(plain, plain)):
        # PostgreSQL shows a tab as it is; what it shows of a backslash is two.
        shown = re.sub(r"\\(.)", lambda m: "\t" if m[1] == "t" else m[0], bound.render())
        assert parse_bound(shown, type_) == bound


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    parent=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
    step=steps,
    zone=st.sampled_from(ZONES),
    clock=st.datetimes(datetime(1971, 1, 1), datetime(9900, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # the zone comes apart
)
def test_names_are_short_and_tell_cells_apart(
    parent: str, step: Any, zone: str, clock: datetime
) -> None:
    """
    63 bytes at most, the same each time, and never one name for two cells in a row.
    """
    parent = parent.encode()[:NAME_BYTES].decode(errors="ignore")
    rules, grid = ByRange("at", every=step, time_zone=zone), Grid.of(step, zone)
    cells = list(islice(grid.ahead(clock, clock, 12), 13))
    names = [child_name(parent, cell, rules, grid) for cell in cells]
    assert names == [child_name(parent, cell, rules) for cell in cells]
    assert all(len(name.encode()) <= NAME_BYTES for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("every", "name"),
    [
        ("hour", "event_2026_03_15_11"),
        ("15 minutes", "event_2026_03_15_1145"),
        ("day", "event_2026_03_15"),
        (timedelta(days=10), "event_2026_03_07"),
        ("week", "event_2026_w11"),
        ("month", "event_2026_03"),
        ("quarter", "event_2026_q1"),
        ("6 months", "event_2026_01"),
        ("year", "event_2026"),
        ("10 years", "event_2020"),
    ],
)
def test_names_as_the_reference_has_them(every: Any, name: str) -> None:
    """
    By the clock of the zone, but for hours and minutes, which are counted in UTC.
    """
    clock = datetime(2026, 3, 15, 11, 59, tzinfo=UTC)
    cell = Grid.of(every, "Europe/Berlin").cell(clock)
    assert child_name("event", cell, ByRange("at", every=every, time_zone="Europe/Berlin")) == name


# -- the same in PostgreSQL ---------------------------------------------------------------------


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    step=steps,
    zone=st.sampled_from(CHANGING),
    kind=st.sampled_from(["timestamptz", "timestamp", "date", "uuid7"]),
    clock=st.one_of(
        st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # the zone comes apart
        st.sampled_from(TURNS[:5]),
    ),
    other=st.one_of(st.none(), steps),
    parts=st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5),
)
def test_the_server_makes_the_same_cells_and_every_row_finds_its_home(
    engine: sa.Engine,
    step: Any,
    zone: str,
    kind: str,
    clock: datetime,
    other: Any,
    parts: list[float],
) -> None:
    """
    Twice, with another step or clock the second time: as the grid says, without gap or overlap.
    """
    if kind == "date" and "minute" in {Grid.of(each).unit for each in (step, other) if each}:
        return
    types = {"timestamp": sa.DateTime(), "date": sa.Date(), "uuid7": sa.Uuid()}
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("k", types.get(kind, sa.DateTime(timezone=True))))
    declare(table, ByRange("k", every=step, time_zone=zone, premake=2))
    later = sa.MetaData()
    twin = sa.Table("t", later, sa.Column("k", table.c.k.type))
    declare(twin, ByRange("k", every=other or step, time_zone=zone, premake=2))
    grid = Grid.of(step, zone, kind)
    with engine.connect() as connection:
        connection.execute(sa.text("SET LOCAL TimeZone = 'Asia/Tokyo'"))
        connection.execute(sa.text("SET LOCAL DateStyle = 'SQL, DMY'"))
        create(connection, metadata)
        premake(connection, table, clock)
        first = cells(connection, metadata)
        present = grid.value_at(clock)
        assert first == list(grid.ahead(present, present, 2))
        names = {name for name, _ in named(connection, metadata)}
        rules = ByRange("k", every=step, time_zone=zone)
        assert names == {child_name("t", cell, rules, grid) for cell in first}
        premake(connection, twin, grid.moment_of(first[-1].lower) + timedelta(hours=3))
        second = cells(connection, metadata)
        assert contiguous(second)
        assert second[: len(first)] == first
        for share in parts:
            value = between(second[0].lower, second[-1].upper, share)
            connection.execute(table.insert(), {"k": value})
        connection.rollback()


def between(low: Any, high: Any, share: float) -> Any:
    """
    A value on the way from one to the other.
    """
    if isinstance(low, UUID):
        return UUID(int=low.int + int((high.int - low.int - 1) * share))
    if not isinstance(low, datetime):  # a date
        return low + timedelta(days=int((high - low).days * share))
    return min(low + (high - low) * share, high - timedelta(microseconds=1))  # floats round


def create(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """
    The table without a partition, and the functions.
    """
    metadata.tables["t"].to_metadata(bare := sa.MetaData())
    bare.tables["t"].c.k.info.clear()
    bare.create_all(connection)
    for each in plan.collect(metadata).values():
        if each.kind == "function":
            for statement in each.create():
                connection.execute(sa.DDL(statement.replace("%", "%%")))


def premake(connection: sa.Connection, table: sa.Table, clock: datetime) -> None:
    """
    What every door calls, at some moment.
    """
    rules = registered(table, next(iter(rules_on(table))), "default", "pgultra_partitions_premake")
    call = "SELECT pgultra_partitions_premake('t', CAST(:rules AS jsonb), :clock)"
    connection.execute(sa.text(call), {"rules": rules, "clock": clock})


def named(connection: sa.Connection, metadata: sa.MetaData) -> list[tuple[str, RangeBound]]:
    """
    The partitions by name, in order.
    """
    found = read_children(connection, parents_of(connection, metadata))
    pairs = [(child.name, child.bound) for child in found]
    return sorted(pairs, key=lambda pair: (pair[1].lower is not None, pair[1].lower))


def cells(connection: sa.Connection, metadata: sa.MetaData) -> list[RangeBound]:
    """
    Their bounds, in order.
    """
    return [bound for _, bound in named(connection, metadata)]


@pytest.mark.parametrize("kind", sorted(INTEGERS))
def test_numbers_in_the_server(engine: sa.Engine, kind: str) -> None:
    """
    Premake follows the greatest key, up to the last number that the type has.
    """
    types = {"smallint": sa.SmallInteger(), "integer": sa.Integer(), "bigint": sa.BigInteger()}
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("k", types[kind]))
    step, limit = INTEGERS[kind] // 5, INTEGERS[kind]
    declare(table, ByRange("k", every=step, premake=1, start=-limit))
    metadata.create_all(engine)
    clock = datetime.now(UTC)
    with engine.begin() as connection:
        for number in (*range(-limit, limit, step), limit - 1):
            premake(connection, table, clock)
            connection.execute(table.insert(), {"k": number})
        made = cells(connection, metadata)
    grid = Grid.of(step, kind=kind)
    assert made == list(grid.cells(-limit, limit - 1))


def test_lists_and_hashes_take_every_value(engine: sa.Engine) -> None:
    """
    Each value of a list in its group, all others in the default; every row has a remainder.
    """
    metadata = sa.MetaData()
    one = sa.Table("one", metadata, sa.Column("k", sa.Text))
    two = sa.Table("two", metadata, sa.Column("k", sa.Text))
    declare(one, ByList("k", {"a": ("x", "y"), "b": ("z", None)}, default=True))
    declare(two, ByHash("k", modulus=7))
    metadata.create_all(engine)
    with engine.begin() as connection:
        given_values = [{"k": value} for value in ("x", "y", "z", None, "other", "")]
        connection.execute(one.insert(), given_values)
        connection.execute(two.insert(), [{"k": str(number)} for number in range(1000)])
        count = sa.text("SELECT tableoid::regclass::text, count(*) FROM one GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in connection.execute(count)] == [
            ("one_a", 2),
            ("one_b", 2),
            ("one_default", 2),
        ]
        spread = sa.text("SELECT count(DISTINCT tableoid) FROM two")
        assert connection.scalar(spread) == 7
