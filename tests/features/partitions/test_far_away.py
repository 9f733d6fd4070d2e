"""
Something old, something far ahead, something hidden: the present gets its partition all the same.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import ByList, ByRange, declare
from pgultra.features import partitions
from pgultra.features.partitions.bounds import RangeBound, parse_bound
from pgultra.features.partitions.calendar import Grid
from pgultra.features.partitions.planning import MOST, missing
from tests.features.partitions.upkeep_stage import MOMENT, children, event_table, made

if TYPE_CHECKING:
    from pgultra.features.partitions.rules import Rules

FUNCTION = "SELECT pgultra_partitions_premake('{0}', \"{0}_partitions\"(), '{1}')"
LATER = MOMENT + timedelta(days=5)


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def numbered(rules: Rules, name: str = "N") -> sa.Table:
    """
    A table with nothing but a number.
    """
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text),
    )
    declare(table, rules)
    return table


def planned(engine: sa.Engine, table: sa.Table, now: datetime | None = None) -> list[str]:
    """
    The partitions that plan would make.
    """
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata, now=now)
    assert told.findings == ()
    return [each.child for each in told if each.verb == "create"]


@pytest.mark.parametrize("every", ["1 day", "1 month"])
def test_a_row_of_1970_that_was_drained_is_no_beginning(engine: sa.Engine, every: str) -> None:
    """
    The years between are not filled; the present is, by maintain and by the function alone.
    """
    table = made(engine, event_table(every=every, default=True))
    run(engine, "INSERT INTO event VALUES (1, '1970-01-01 00:00+00', 'a clock that was not set')")
    with engine.connect() as connection:
        assert len(partitions.drain_default(connection, table, now=MOMENT)) == 1
    later = MOMENT + timedelta(days=70)
    told = planned(engine, table, later)
    with engine.begin() as connection:
        by_function = connection.exec_driver_sql(FUNCTION.format("event", later)).scalar_one()
        connection.rollback()
    assert [each.replace('"', "") for each in by_function] == told
    with engine.connect() as connection:
        assert partitions.maintain(connection, table.metadata, now=later).complete
    run(engine, f"INSERT INTO event VALUES (2, '{later}', 'x')")
    with engine.connect() as connection:
        counted = connection.exec_driver_sql("SELECT count(*) FROM ONLY event_default").scalar()
    assert counted == 0


def test_an_archive_attached_again_is_no_beginning(engine: sa.Engine) -> None:
    """
    Nor does a small gap behind it lead to the walk over the long one.
    """
    table = made(engine, event_table(every="1 day"))
    run(
        engine,
        "CREATE TABLE event_a PARTITION OF event "
        "FOR VALUES FROM ('2020-01-01+00') TO ('2020-01-05+00')",
        "CREATE TABLE event_b PARTITION OF event "
        "FOR VALUES FROM ('2020-01-07+00') TO ('2020-02-01+00')",
    )
    told = planned(engine, table, LATER)
    assert told[:3] == [
        "public.event_2020_01_05",
        "public.event_2020_01_06",
        "public.event_2026_03_17",
    ]
    assert len(told) == 2 + 5
    with engine.connect() as connection:
        done = partitions.maintain(connection, table.metadata, now=LATER)
    assert [each.child for each in done.done] == told
    assert planned(engine, table, LATER) == []


@pytest.mark.once
@pytest.mark.slow
def test_gaps_are_filled_in_portions(engine: sa.Engine) -> None:
    """
    The present and the newest come first, 500 at a time; plan and the function agree.
    """
    table = made(engine, event_table(every="1 day"))
    edge = MOMENT - timedelta(days=900)
    for number, days in enumerate((900, 450)):
        low = (MOMENT - timedelta(days=days)).date()
        run(
            engine,
            f"CREATE TABLE old_{number} PARTITION OF event "
            f"FOR VALUES FROM ('{low}+00') TO ('{low + timedelta(days=1)}+00')",
        )
    first = planned(engine, table, LATER)
    assert len(first) == MOST
    assert first[-1] == "public.event_2026_03_21"
    with engine.begin() as connection:
        by_function = connection.exec_driver_sql(FUNCTION.format("event", LATER)).scalar_one()
    assert list(by_function) == first
    second = planned(engine, table, LATER)
    assert second[0] == f"public.event_{edge + timedelta(days=1):%Y_%m_%d}"
    assert len(first) + len(second) == 449 + 449 + 5


def test_a_start_too_long_ago_is_told(engine: sa.Engine) -> None:
    """
    Of an empty table it is what somebody wrote, and nothing is made silently otherwise.
    """
    table = event_table(every="1 hour", start=datetime(1990, 1, 1, tzinfo=UTC))
    with pytest.raises(sa.exc.DBAPIError, match=r"lacks 3[0-9]{5} partitions, more than one"):
        table.metadata.create_all(engine)


def test_a_stray_number_is_where_the_present_is(engine: sa.Engine) -> None:
    """
    The 10¹² cells before it are neither walked nor made.
    """
    table = numbered(ByRange("id", every=1000, premake=1, default=True))
    table.metadata.create_all(engine)
    run(engine, "INSERT INTO \"N\" VALUES (5, 'a'), (1000000000000000, 'b')")
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata)
        assert [each.child for each in told] == [
            'public."N_1000000000000000"',
            'public."N_1000000000001000"',
        ]
        connection.rollback()
        done = partitions.maintain(connection, table.metadata)
        assert done.complete
    with engine.begin() as connection:
        query = 'SELECT pgultra_partitions_premake(\'"N"\', "N_partitions"())'
        assert connection.exec_driver_sql(query).scalar_one() == []


def test_the_greatest_number_may_be_hidden(
    engine: sa.Engine, owner: tuple[str, str], owner_engine: sa.Engine
) -> None:
    """
    The owner sees no row for row security; the partition with rows tells how far they are.
    """
    run(engine, f"GRANT ALL ON SCHEMA public TO {owner[0]}")
    table = numbered(ByRange("id", every=10, premake=1), name="n")
    table.metadata.create_all(owner_engine)
    run(
        owner_engine,
        "INSERT INTO n VALUES (15)",
        "ALTER TABLE n ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE n FORCE ROW LEVEL SECURITY",
    )
    assert planned(owner_engine, table) == ["public.n_20"]
    with owner_engine.begin() as connection:
        query = "SELECT pgultra_partitions_premake('n', n_partitions())"
        assert connection.exec_driver_sql(query).scalar_one() == ["public.n_20"]
        connection.rollback()
    with owner_engine.connect() as connection:
        assert partitions.maintain(connection, table.metadata).complete
    run(engine, "INSERT INTO n VALUES (25)")


def test_a_partition_from_infinity_on_is_not_everything(engine: sa.Engine) -> None:
    """
    Premaking goes on before it, and status tells of what lies between.
    """
    table = made(engine, event_table())
    run(
        engine,
        "CREATE TABLE event_forever PARTITION OF event FOR VALUES FROM ('infinity') TO (MAXVALUE)",
    )
    later = MOMENT + timedelta(days=90)
    with engine.connect() as connection:
        (before,) = partitions.status(connection, table.metadata, now=later)
        assert (before.healthy, before.pending) == (False, 3)
        connection.rollback()
        assert partitions.maintain(connection, table.metadata, now=later).complete
    run(engine, f"INSERT INTO event VALUES (1, '{later}', 'x'), (2, 'infinity', 'y')")


@pytest.mark.parametrize(
    ("text", "type_", "bound"),
    [
        ("('infinity') TO (MAXVALUE)", "date", ("max", None)),
        ("('12000-01-01') TO ('13000-01-01')", "date", ("max", None)),
        ("(MINVALUE) TO ('0044-03-15 BC')", "date", (None, "min")),
        ("('-infinity') TO ('infinity')", "date", (None, None)),
    ],
)
def test_limits_that_python_cannot_hold(text: str, type_: str, bound: tuple[Any, Any]) -> None:
    """
    No limit where they are beyond all values, and the last or first value where they are not.
    """
    ends = {"max": date.max, "min": date.min, None: None}
    assert parse_bound(f"FOR VALUES FROM {text}", type_) == RangeBound(*(ends[e] for e in bound))


def test_cells_are_counted_before_they_are_walked() -> None:
    """
    A hole of 10¹⁵ cells costs nothing.
    """
    rules = ByRange("id", every=1, premake=0)
    there = [RangeBound(0, 1), RangeBound(2, 3)]
    found = missing(rules, Grid.of(1, kind="bigint"), there, 10**15, (), None)
    assert found == (RangeBound(1, 2), RangeBound(10**15, 10**15 + 1))


def test_a_group_of_the_word_null(engine: sa.Engine) -> None:
    """
    The partition for NULL is not the one for the text 'NULL'.
    """
    metadata = sa.MetaData()
    table = sa.Table("T", metadata, sa.Column("k", sa.Text))
    declare(table, ByList("k", {"n": (None,), "s": ("NULL",)}))
    metadata.create_all(engine)
    run(engine, "INSERT INTO \"T\" VALUES ('NULL'), (NULL)")
    with engine.connect() as connection:
        assert children(connection, "T") == ['"T_n"', '"T_s"']


def test_a_partition_by_hand_that_has_part_of_a_group(engine: sa.Engine) -> None:
    """
    The database refuses with the reason, and does so no more when the group is as it is.
    """
    metadata = sa.MetaData()
    table = sa.Table("T", metadata, sa.Column("k", sa.Text))
    declare(table, ByList("k", {"ab": ("A", "B")}))
    run(engine, 'CREATE TABLE "T" (k text) PARTITION BY LIST (k)')
    run(engine, "CREATE TABLE hand PARTITION OF \"T\" FOR VALUES IN ('A', 'Z')")
    with engine.begin() as connection:
        for each in partitions_objects(table):
            connection.exec_driver_sql(each)
    told = r"""partition public."T_ab" cannot be made: another one of public."T" has some of"""
    with pytest.raises(sa.exc.DBAPIError, match=told):
        run(engine, 'SELECT pgultra_partitions_premake(\'"T"\', "T_partitions"())')
    run(engine, "DROP TABLE hand; CREATE TABLE hand PARTITION OF \"T\" FOR VALUES IN ('B', 'A')")
    run(engine, 'SELECT pgultra_partitions_premake(\'"T"\', "T_partitions"())')
    with engine.connect() as connection:
        assert children(connection, "T") == ["hand"]


def partitions_objects(table: sa.Table) -> list[str]:
    """
    The statements that make the functions of a table, for the driver as they stand.
    """
    from pgultra.features.partitions.objects import objects
    from pgultra.features.partitions.rules import rules_on
    from pgultra.objects import Function

    (rules,) = rules_on(table)
    return [
        statement.replace("%", "%%")
        for each in objects(table, rules)
        if isinstance(each, Function)
        for statement in each.create()
    ]
