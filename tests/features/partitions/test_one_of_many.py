"""
One table that cannot be seen to, or is not as its model says, leaves the others alone.
"""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import ByList, ByRange, DeclarationError, declare
from pgultra.features import partitions
from tests.features.partitions.upkeep_stage import MOMENT, children, event_table, made

if TYPE_CHECKING:
    from pgultra.features.partitions.rules import Rules

LATER = MOMENT + timedelta(days=62)


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def keyed(type_: Any, rules: Rules, name: str = "T") -> sa.Table:
    """
    A table divided by the column ``k``.
    """
    column = sa.Column("k", type_, primary_key=True, autoincrement=False)
    table = sa.Table(name, sa.MetaData(), column)
    declare(table, rules)
    return table


def numbers(metadata: sa.MetaData, *names: str) -> None:
    """
    Tables divided by a number, of which the greatest is asked for.
    """
    for name in names:
        table = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        )
        declare(table, ByRange("id", every=10))


def test_a_table_that_may_not_be_read(
    engine: sa.Engine, owner: tuple[str, str], owner_engine: sa.Engine
) -> None:
    """
    A problem of maintain and a finding of plan and status; the other table is kept up.
    """
    run(engine, f"GRANT ALL ON SCHEMA public TO {owner[0]}")
    metadata = sa.MetaData()
    numbers(metadata, "N")
    made(owner_engine, event_table(metadata))
    run(engine, 'ALTER TABLE "N" OWNER TO postgres')
    with owner_engine.connect() as connection:
        told = partitions.plan(connection, metadata, now=LATER)
        assert [each.table for each in told] == ["public.event"] * 2
        assert "permission denied" in told.findings[0]
        hurt, well = partitions.status(connection, metadata, now=LATER)
        assert (hurt.healthy, well.pending) == (False, 2)
        connection.rollback()
        done = partitions.maintain(connection, metadata, now=LATER)
    assert [str(each).split(":")[0] for each in done.problems] == ['public."N"']
    assert [each.table for each in done.done] == ["public.event"] * 2


@pytest.mark.parametrize("autocommit", [False, True])
def test_plan_goes_on_after_an_error_in_any_transaction(
    engine: sa.Engine, owner: tuple[str, str], owner_engine: sa.Engine, autocommit: bool
) -> None:
    """
    Within the caller's transaction, by a savepoint, and without one.
    """
    run(engine, f"GRANT ALL ON SCHEMA public TO {owner[0]}")
    metadata = sa.MetaData()
    numbers(metadata, "a")
    made(owner_engine, event_table(metadata))
    run(engine, "ALTER TABLE a OWNER TO postgres")
    with owner_engine.connect() as connection:
        if autocommit:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        else:
            connection.exec_driver_sql("CREATE TABLE kept (id int)")
        assert len(partitions.plan(connection, metadata, now=LATER).actions) == 2
        connection.commit()
    with engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT count(*) FROM pg_class WHERE relname = 'kept'"))
        assert found == (0 if autocommit else 1)


@pytest.mark.parametrize(
    ("type_", "rules"),
    [
        (sa.Double, ByRange("k", bounds=(0.0, 1.5, None))),
        (sa.Double, ByList("k", {"a": (1.5,)})),
        (sa.Time, ByRange("k", bounds=(time(0), time(12), None))),
        (sa.Date, ByRange("k", bounds=("2026-01-01", "2027-01-01"))),
        (sa.Date, ByRange("k", bounds=(datetime(2026, 1, 1), datetime(2027, 1, 1)))),  # noqa: DTZ001  # naive
        (sa.DateTime(timezone=True), ByRange("k", bounds=(date(2026, 1, 1), date(2027, 1, 1)))),
        (sa.DateTime(timezone=True), ByRange("k", bounds=("2026-01-01", "2027-01-01"))),
        (sa.DateTime(), ByRange("k", bounds=(MOMENT, LATER))),
        (sa.Uuid, ByRange("k", bounds=(f"{0:032x}", f"{2**100:032x}"))),
        (sa.CHAR(3), ByList("k", {"a": ("DE",)})),
    ],
    ids=repr,
)
def test_values_of_any_type_are_found_again(engine: sa.Engine, type_: Any, rules: Rules) -> None:
    """
    What was made as declared is what is declared: nothing is to be done.
    """
    table = keyed(type_, rules)
    table.metadata.create_all(engine)
    with engine.connect() as connection:
        told = partitions.plan(connection, table.metadata)
        assert (told.actions, told.findings) == ((), ())
        connection.rollback()
        assert partitions.maintain(connection, table.metadata).complete


def test_bytes_are_no_bounds() -> None:
    """
    They were spelt as Python shows them; now the declaration is refused.
    """
    with pytest.raises(DeclarationError, match="is bytes, of which no partition is made"):
        keyed(sa.LargeBinary, ByList("k", {"a": (b"x",)}))


def test_a_group_of_which_another_partition_has_a_part(engine: sa.Engine) -> None:
    """
    A finding, since the rest of the group has no home and nothing can be made for it.
    """
    table = keyed(sa.Text, ByList("k", {"ab": ("A", "B")}))
    table.metadata.create_all(engine)
    run(
        engine,
        'DROP TABLE "T_ab"',
        "CREATE TABLE hand PARTITION OF \"T\" FOR VALUES IN ('A', 'Z')",
    )
    with engine.connect() as connection:
        (state,) = partitions.status(connection, table.metadata)
    assert not state.healthy
    assert "public.hand has some of them" in state.findings[0]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_look_at_one_table_holds_no_lock_of_another(engine: sa.Engine, order: str) -> None:
    """
    A migration that locks two tables, one after the other, meets no deadlock with maintain.
    """
    metadata = sa.MetaData()
    numbers(metadata, "a", "b")
    metadata.create_all(engine)
    first, second = order
    done: list[partitions.Maintained] = []

    def work() -> None:
        with engine.connect() as connection:
            done.append(
                partitions.maintain(connection, metadata, lock_timeout=0.2, attempts=2, pause=0.1)
            )

    with engine.connect() as migration:
        migration.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        migration.exec_driver_sql(f"LOCK TABLE {second} IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()  # it gave up on the table that is locked
        migration.exec_driver_sql(f"LOCK TABLE {first} IN ACCESS EXCLUSIVE MODE")
    assert [(each.table, each.action) for each in done[0].problems] == [
        (f"public.{second}", "look at it")
    ]


def test_a_partition_that_is_dropped_while_it_is_looked_at(engine: sa.Engine) -> None:
    """
    It is none any more; the look does not fail.
    """
    from pgultra.features.partitions import children as module

    made(engine, event_table(premake=5))
    with engine.connect() as connection:
        oid = connection.scalar(sa.text("SELECT 'event'::regclass::oid::bigint"))
        # the catalog as another session's DROP leaves it between two looks
        query = module.CHILDREN.replace(
            "pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            "nullif(pg_catalog.pg_get_expr(c.relpartbound, c.oid), "
            "'FOR VALUES FROM (''2026-08-01 00:00:00+00'') TO (''2026-09-01 00:00:00+00'')')",
        )
        connection.exec_driver_sql("SET LOCAL TimeZone = 'UTC'")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "CHILDREN", query)
            assert len(module.read_children(connection, [oid])) == 5


def test_a_table_divided_by_another_column_is_left_alone(engine: sa.Engine) -> None:
    """
    Retention by the column of the model would drop rows that are young.
    """

    def model(column: str, **rules: Any) -> sa.MetaData:
        metadata = sa.MetaData()
        table = sa.Table(
            "event",
            metadata,
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
            sa.Column("seen", sa.DateTime(timezone=True), primary_key=True),
        )
        declare(table, ByRange(column, every="1 month", premake=1, **rules))
        return metadata

    made(engine, model("at").tables["event"])
    run(engine, "INSERT INTO event VALUES (1, '2026-03-10', '2026-06-10')")
    now = datetime(2026, 6, 15, tzinfo=UTC)
    other = model("seen", retain="2 months", on_expire="drop")
    with engine.connect() as connection:
        done = partitions.maintain(connection, other, now=now)
    assert done.done == []
    assert "partitioned by range (at), not partitioned by range (seen)" in done.findings[0]
    with engine.begin() as connection:
        query = (
            "SELECT pgultra_partitions_premake('event', "
            "jsonb_set(event_partitions(), '{column}', '\"seen\"'))"
        )
        with pytest.raises(sa.exc.DBAPIError, match="is not partitioned by"):
            connection.exec_driver_sql(query)


def test_hosts_with_an_older_model_take_nothing_away(engine: sa.Engine) -> None:
    """
    Nor those with a newer one, before its migration; both make partitions ahead.
    """
    registered = event_table(retain="12 months", on_expire="drop")
    made(engine, registered, datetime(2026, 1, 15, tzinfo=UTC))
    run(engine, "INSERT INTO event VALUES (1, '2026-01-10', 'x')")
    other = event_table(retain="1 month", on_expire="drop", premake=2)
    with engine.connect() as connection:
        done = partitions.maintain(connection, other.metadata, now=LATER)
        assert {each.verb for each in done.done} == {"create"}
        assert "keeps rows by other rules in the database" in done.findings[0]
        assert "event_2026_07" in children(connection, "event")
        connection.rollback()
        same = event_table(retain="12 months", on_expire="drop", premake=4)  # as to what is kept
        much_later = LATER + timedelta(days=400)
        done = partitions.maintain(connection, same.metadata, now=much_later)
        assert {each.verb for each in done.done} == {"create", "drop"}


def test_older_intentions_are_judged_by_the_present_rules(engine: sa.Engine) -> None:
    """
    What was noted for drop is kept, and told of, when the rules keep its rows now.
    """
    january, april = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)
    short = made(engine, event_table(retain="1 month", on_expire="drop"), january)
    run(
        engine,
        "CREATE TABLE ref (eid bigint, eat timestamptz, "
        "FOREIGN KEY (eid, eat) REFERENCES event (id, at))",
        "INSERT INTO event VALUES (1, '2026-01-10', 'x')",
        "INSERT INTO ref VALUES (1, '2026-01-10')",
    )
    with engine.connect() as connection:
        done = partitions.maintain(connection, short.metadata, now=april)
        assert "violates foreign key constraint" in done.problems[0].error
    run(engine, "DELETE FROM ref", "ALTER TABLE event DETACH PARTITION event_2026_01")
    long = event_table(retain="12 months", on_expire="drop")
    run(
        engine,
        "CREATE OR REPLACE FUNCTION event_partitions() RETURNS jsonb LANGUAGE sql AS "
        "$$SELECT NULL::jsonb$$",
    )  # as after a migration: rules that say nothing else
    with engine.connect() as connection:
        done = partitions.maintain(connection, long.metadata, now=april)
        assert "attach it again with ALTER TABLE public.event ATTACH" in done.findings[0]
        assert connection.scalar(sa.text("SELECT count(*) FROM event_2026_01")) == 1
        connection.rollback()
        done = partitions.maintain(connection, short.metadata, now=april)
        assert [each.verb for each in done.done] == ["dispose"]


def test_half_a_detaching_that_the_rules_do_not_want_any_more(engine: sa.Engine) -> None:
    """
    It cannot be taken back: it is finished, and the table stays with its rows.
    """
    january, april = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)
    short = made(engine, event_table(retain="1 month", on_expire="drop"), january)
    run(engine, "INSERT INTO event VALUES (1, '2026-01-10', 'x')")
    with engine.connect() as reader, engine.connect() as connection:
        reader.exec_driver_sql("SELECT * FROM event")  # whom the second half waits for
        done = partitions.maintain(
            connection, short.metadata, now=april, lock_timeout=0.1, attempts=1
        )
        assert not done.complete
    run(engine, "DROP FUNCTION event_partitions()")  # rules that say nothing else
    long = event_table(retain="12 months", on_expire="drop")
    with engine.connect() as connection:
        done = partitions.maintain(connection, long.metadata, now=april)
        assert [(each.verb, each.child) for each in done.done if each.verb != "create"] == [
            ("clear", "public.event_2026_02"),  # which was to be the next
            ("finish", "public.event_2026_01"),
        ]
        assert "attach it again" in done.findings[0]
        connection.rollback()
        assert partitions.maintain(connection, long.metadata, now=april).done == []
        assert connection.scalar(sa.text("SELECT count(*) FROM event_2026_01")) == 1
