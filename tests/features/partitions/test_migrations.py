"""
What autogenerate makes of partitioned tables: at first, after changes, and beside strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import ByHash, ByList, ByRange, ConflictingObjects, declare, plan

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

MOMENT = sa.DateTime(timezone=True)


def events(rules: Any, *more: Any, name: str = "event") -> sa.MetaData:
    """
    A table of events, divided as said.
    """
    metadata = sa.MetaData()
    table = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, primary_key=True),
        sa.Column("action", sa.Text, primary_key=True),
        *more,
    )
    if rules is not None:
        declare(table, rules)
    return metadata


def children(engine: sa.Engine, table: str = "event") -> dict[str, str]:
    """
    The bounds of the partitions right below a table, by name.
    """
    with engine.connect() as connection:
        connection.execute(sa.text("SET TimeZone = 'UTC'"))
        found = connection.execute(
            sa.text(
                "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound FROM pg_inherits AS i "
                "JOIN pg_class AS c ON c.oid = i.inhrelid "
                f"WHERE inhparent = '{table}'::regclass ORDER BY 1"
            )
        )
        return {row.relname: row.bound for row in found}


def run(engine: sa.Engine, *statements: str) -> None:
    """
    SQL as another program would send it.
    """
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def migrated(environment: MigrationEnvironment, metadata: sa.MetaData) -> str:
    """
    One migration, run; nothing is left to do afterwards.
    """
    text = environment.autogenerate("step", metadata=metadata).text
    environment.upgrade()
    assert environment.check(metadata=metadata) == []
    return text


def drift(engine: sa.Engine, metadata: sa.MetaData) -> list[str]:
    """
    What a check finds.
    """
    with engine.connect() as connection:
        found = plan.check(connection, metadata)
    return [*map(str, found), *found.conflicts]


def test_parent_and_premake_in_one_migration(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    The table with its clause, then the functions, then a DO block; never a partition by name.
    """
    metadata = events(ByRange("at", every="1 month", premake=2), sa.Index("by_id", "id"))
    text = migrated(alembic_env, metadata)
    assert "postgresql_partition_by='RANGE (at)'" in text
    assert text.index("create_table('event'") < text.index("create_index('by_id'")
    assert text.index("create_index('by_id'") < text.index("PERFORM pgultra_partitions_premake")
    assert "event_20" not in text
    assert "import pgultra" not in text
    assert len(children(engine)) == 3
    with engine.connect() as connection:
        indexed = sa.text("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%(id)'")
        assert connection.scalar(indexed) == 4
    alembic_env.downgrade()
    with engine.connect() as connection:
        assert not plan.check(connection, sa.MetaData())
        left = sa.text("SELECT count(*) FROM pg_class WHERE relname LIKE 'event%'")
        assert connection.scalar(left) == 0


@pytest.mark.slow
def test_later_partitions_are_no_removed_tables(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Also those of levels below, with their indexes, and those that were detached since.
    """
    rules = ByRange("at", every="1 month", then=ByHash("id", modulus=2))
    metadata = events(rules, sa.Index("by_action", "action"))
    migrated(alembic_env, metadata)
    run(
        engine,
        "SELECT pgultra_partitions_premake('event', event_partitions(), now() + interval '2 years')",
        "CREATE TABLE by_hand PARTITION OF event FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')",
    )
    assert len(children(engine)) > 24
    names = list(children(engine))
    run(engine, f"ALTER TABLE event DETACH PARTITION {names[-1]}")
    assert alembic_env.check(metadata=metadata) == []
    assert alembic_env.autogenerate("again", metadata=metadata).empty


def test_look_alikes_are_alembics_as_before(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    A table that merely has such a name, or is a partition of another table, is not hidden.
    """
    metadata = events(ByRange("at", every="1 month"))
    run(
        engine,
        "CREATE TABLE event_2024_01 (id int)",
        "CREATE TABLE other (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE other_1 PARTITION OF other FOR VALUES FROM (1) TO (2)",
        "CREATE SCHEMA elsewhere",
        "CREATE TABLE elsewhere.event_2026_01 (id int)",
    )
    revision = alembic_env.autogenerate(metadata=metadata)
    for name in ("event_2024_01", "other", "other_1"):
        assert f"drop_table('{name}')" in revision.text


def test_a_name_that_is_taken_is_left_alone(engine: sa.Engine) -> None:
    """
    A stranger's table of the very name of a partition survives, and the partition gets another.
    """
    run(
        engine,
        "CREATE TABLE event_h0 (kept text)",
        "INSERT INTO event_h0 VALUES ('yes')",
        "CREATE TYPE event_h1 AS ENUM ('x')",
    )
    events(ByHash("id", modulus=2)).create_all(engine)
    assert set(children(engine)) == {"event_h0_2", "event_h1_2"}
    events(ByHash("id", modulus=2)).drop_all(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT kept FROM event_h0")) == "yes"


@pytest.mark.parametrize(
    ("changes", "until"),
    [
        ({"premake": 5}, "date_trunc('month', now()) + interval '6 months'"),
        ({"every": "1 year", "premake": 1}, "date_trunc('year', now()) + interval '2 years'"),
        ({"every": "1 week"}, "date_trunc('month', now()) + interval '4 months'"),
        (
            {"time_zone": "Asia/Tokyo"},
            "date_trunc('month', now(), 'Asia/Tokyo') + interval '4 months'",
        ),
    ],
    ids=["premake", "years", "weeks", "zone"],
)
def test_a_changed_step_is_a_migration(
    alembic_env: MigrationEnvironment, engine: sa.Engine, changes: dict[str, Any], until: str
) -> None:
    """
    What exists stays; the new cells begin where it ends; nothing overlaps and nothing is missing.
    """
    old = {"every": "1 month", "premake": 3}
    migrated(alembic_env, events(ByRange("at", **old)))
    before = children(engine)
    text = migrated(alembic_env, events(ByRange("at", **{**old, **changes})))
    assert "replace partitioning" in text
    assert "replace function event_partitions()" in text
    after = children(engine)
    assert before.items() <= after.items()
    filled = (
        "INSERT INTO event SELECT 1, at, 'x' FROM generate_series("
        f"date_trunc('month', now()), {until} - interval '1 microsecond', interval '6 hours') at"
    )
    run(engine, "SET TimeZone = 'UTC'", filled, "DELETE FROM event")  # no gap: each has a home
    alembic_env.downgrade("-1")
    assert drift(engine, events(ByRange("at", **old))) == []


def test_a_changed_retention(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    Premake is told of it, so that it fills no gap that retention made; no partition goes.
    """
    migrated(alembic_env, events(ByRange("at", every="1 month")))
    before = children(engine)
    kept = ByRange("at", every="1 month", retain="1 year", on_expire="drop")
    assert "replace function event_partitions()" in migrated(alembic_env, events(kept))
    assert children(engine) == before


def test_a_changed_list(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    New groups, more values, fewer values, values that change places, and all of it back.
    """
    first = ByList("action", {"auth": ("LOGIN", "LOGOUT"), "data": ("READ", "WRITE"), "gone": "X"})
    migrated(alembic_env, events(first))
    run(engine, "INSERT INTO event VALUES (1, now(), 'LOGIN'), (2, now(), 'READ')")
    second = ByList(
        "action", {"auth": ("LOGIN", "SSO", "WRITE"), "data": ("READ", "LOGOUT"), "new": ("it's",)}
    )
    migrated(alembic_env, events(second))
    assert children(engine) == {
        "event_auth": "FOR VALUES IN ('LOGIN', 'SSO', 'WRITE')",
        "event_data": "FOR VALUES IN ('READ', 'LOGOUT')",
        "event_new": "FOR VALUES IN ('it''s')",
    }
    alembic_env.downgrade("-1")
    assert children(engine) == {
        "event_auth": "FOR VALUES IN ('LOGIN', 'LOGOUT')",
        "event_data": "FOR VALUES IN ('READ', 'WRITE')",
        "event_gone": "FOR VALUES IN ('X')",
    }
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM event")) == 2


def test_a_group_with_rows_is_not_removed(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Neither by autogenerate nor by a migration that was written while it was empty.
    """
    both = events(ByList("action", {"auth": ("LOGIN",), "data": ("READ",)}, default=True))
    one = events(ByList("action", {"auth": ("LOGIN",)}))
    migrated(alembic_env, both)
    alembic_env.autogenerate("early", metadata=one)
    run(engine, "INSERT INTO event VALUES (1, now(), 'READ')")
    with pytest.raises(sa.exc.DBAPIError, match="event_data holds rows, and is not declared"):
        alembic_env.upgrade()
    with engine.connect() as connection, pytest.raises(ConflictingObjects) as caught:
        plan.check(connection, one).insist()
    assert "its partition 'data' is not declared any more and holds rows" in str(caught.value)
    assert "cannot be made of what the database holds" in str(caught.value)
    assert "pgultra did not make" not in str(caught.value)


def test_a_changed_modulus(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    Empty tables are divided anew; with rows it is refused, and the message says what to do.
    """
    migrated(alembic_env, events(ByHash("id", modulus=2)))
    migrated(alembic_env, events(ByHash("id", modulus=3)))
    assert len(children(engine)) == 3
    alembic_env.downgrade("-1")
    assert len(children(engine)) == 2
    alembic_env.upgrade()
    run(engine, "INSERT INTO event VALUES (1, now(), 'x')")
    with pytest.raises(ConflictingObjects, match="its modulus is 3 and is declared as 4") as caught:
        alembic_env.autogenerate("more", metadata=events(ByHash("id", modulus=4)))
    assert "pgultra partitions convert" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, ByHash("id"), "it is not partitioned, and is declared as hash (id)"),
        (ByRange("at", every="1 day"), ByHash("id"), "it is partitioned by range (at)"),
        (ByHash("id"), ByHash("action"), "it is partitioned by hash (id)"),
    ],
)
def test_what_no_migration_can_change(
    alembic_env: MigrationEnvironment, engine: sa.Engine, old: Any, new: Any, said: str
) -> None:
    """
    A plain table, another way, another key: refused, with the way out.
    """
    events(old).create_all(engine)
    changed = events(new)
    with pytest.raises(ConflictingObjects) as caught:
        alembic_env.autogenerate(metadata=changed)
    assert said in str(caught.value)
    assert "pgultra partitions convert" in str(caught.value)
    before = drift(engine, changed)
    changed.create_all(engine)  # as with any table, it leaves alone what is there
    assert drift(engine, changed) == before != []


@pytest.mark.slow
def test_levels_below_follow_for_new_partitions(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Another modulus below holds for partitions that come; groups below may only be added.
    """
    old = ByRange("at", every="1 month", premake=0, then=ByHash("id", modulus=2))
    migrated(alembic_env, events(old))
    new = ByRange("at", every="1 month", premake=1, then=ByHash("id", modulus=3))
    migrated(alembic_env, events(new))
    assert [len(children(engine, name)) for name in children(engine)] == [2, 3]
    grouped = ByList("action", {"auth": ("LOGIN",)})
    migrated(alembic_env, events(ByHash("id", modulus=1, then=grouped), name="deep"))
    more = ByList("action", {"auth": ("LOGIN",), "data": ("READ",)})
    migrated(alembic_env, events(ByHash("id", modulus=1, then=more), name="deep"))
    assert set(children(engine, "deep_h0")) == {"deep_h0_auth", "deep_h0_data"}
    other = ByList("action", {"auth": ("LOGIN", "SSO"), "data": ("READ",)})
    with pytest.raises(ConflictingObjects, match="declare new values in a group of their own"):
        alembic_env.autogenerate(metadata=events(ByHash("id", modulus=1, then=other), name="deep"))


def test_a_new_index_comes_on_only(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    The parent is locked for a moment; partitions that exist get theirs from maintenance.
    """
    rules = ByRange("at", every="1 month")
    migrated(alembic_env, events(rules))
    run(engine, "INSERT INTO event VALUES (1, now(), 'x')")
    indexed = events(rules, sa.Index("by_action", "action", postgresql_where=sa.text("id > 0")))
    text = alembic_env.autogenerate("indexed", metadata=indexed).text
    assert "CREATE INDEX by_action ON ONLY event (action) WHERE id > 0" in text
    alembic_env.upgrade()
    with engine.connect() as connection:
        on = sa.text("SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%(action)%'")
        assert connection.scalars(on).all() == ["event"]
    assert alembic_env.check(metadata=indexed) == []
    alembic_env.downgrade("-1")
    assert drift(engine, events(rules)) == []


def test_drift_is_seen(engine: sa.Engine) -> None:
    """
    Rules that were edited by hand, and a table that lost its partitions.
    """
    metadata = events(ByRange("at", every="1 month"))
    metadata.create_all(engine)

    assert drift(engine, metadata) == []
    for name in children(engine):
        run(engine, f"DROP TABLE {name}")
    assert drift(engine, metadata) == ["create partitioning event_partitions on event"]
    run(engine, "DROP FUNCTION event_partitions()")
    assert len(drift(engine, metadata)) == 2
    with engine.begin() as connection:
        plan.apply(plan.check(connection, metadata), connection)
    assert drift(engine, metadata) == []
    assert len(children(engine)) == 4
