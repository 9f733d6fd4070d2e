"""
What the doors say of partitions that came later, by maintenance or by pg_partman.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from pgultra import ByHash, ByList, ByRange, PartitionedTable, declare, partitions, plan
from tests.features.partitions.upkeep_stage import PARTMAN_TYPE

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

MONTHLY: dict[str, Any] = {"every": "1 month", "premake": 2, "retain": "12 months"}


def tables() -> sa.MetaData:
    """
    A table of each kind, with indexes, and foreign keys from and to the first.
    """
    metadata = sa.MetaData()

    def table(name: str, rules: Any, *more: Any) -> sa.Table:
        found = sa.Table(
            name,
            metadata,
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
            sa.Column("action", sa.Text, primary_key=True),
            *more,
        )
        declare(found, rules)
        return found

    author = sa.Table("author", metadata, sa.Column("id", sa.BigInteger, primary_key=True))
    table(
        "event",
        ByRange("at", **MONTHLY, on_expire="detach"),
        sa.Column("author_id", sa.ForeignKey(author.c.id), index=True),
    )
    table("week", ByRange("at", every="week", premake=4, retain="1 year", on_expire="drop"))
    table("two", ByRange("at", **MONTHLY, on_expire="drop", then=ByHash("id", modulus=2)))
    table("audit", ByList("action", {"auth": ("IN", "OUT")}, default=True))
    table("message", ByHash("id", modulus=4))
    sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("two_id", sa.BigInteger),
        sa.Column("two_at", sa.DateTime(timezone=True)),
        sa.Column("two_action", sa.Text),
        sa.ForeignKeyConstraint(
            ["two_id", "two_at", "two_action"], ["two.id", "two.at", "two.action"]
        ),
    )
    return metadata


@pytest.mark.once
@pytest.mark.slow
def test_after_two_years_autogenerate_is_empty(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    24 months of maintain, rows in each: no door has anything to say, before and after.
    """
    metadata = tables()
    alembic_env.autogenerate("first", metadata=metadata)
    alembic_env.upgrade()
    now = datetime.now(UTC)
    verbs: set[str] = set()
    with engine.connect() as connection:
        for month in range(24):
            moment = now + timedelta(days=30.4 * month)
            done = partitions.maintain(connection, metadata, now=moment)
            assert done.complete, str(done)
            verbs |= {action.verb for action in done.done}
            for name in ("event", "week", "two", "audit", "message"):
                row = {"id": month, "at": moment, "action": "IN"}
                connection.execute(metadata.tables[name].insert(), row)
            connection.commit()
            if month % 8 == 3:
                assert alembic_env.check(metadata=metadata) == []
        assert {"create", "detach", "drop"} <= verbs
        assert not plan.check(connection, metadata)
        connection.rollback()
    assert alembic_env.check(metadata=metadata) == []
    assert alembic_env.autogenerate("again", metadata=metadata).empty


@pytest.mark.needs("pg_partman")
def test_what_pg_partman_made_is_no_removed_table(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    A table of the models that pg_partman divides keeps its partitions, the default one too.
    """
    metadata = sa.MetaData()
    sa.Table(
        "log",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        postgresql_partition_by="RANGE (at)",
    )
    alembic_env.autogenerate("first", metadata=metadata)
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;"
            "CREATE TABLE log_p20010101 (id int);"
            "SELECT partman.create_parent('public.log', 'at', p_interval := '1 month',"
            f" p_premake := 2, p_type := {PARTMAN_TYPE})"
        )
        found = sa.text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'log'::regclass")
        assert connection.scalar(found) > 3
    text = alembic_env.autogenerate("again", metadata=metadata).text
    assert text.count("drop_table(") == 1
    assert "drop_table('log_p20010101')" in text


LOCKS = """
SELECT DISTINCT c.relname, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.granted AND c.relname = ANY (:names)
    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
ORDER BY 1, 2
"""


def test_what_making_a_partition_locks(engine: sa.Engine) -> None:
    """
    As the explanation's table has it: readers go on everywhere, writers of the table too.
    """
    metadata = tables()
    metadata.create_all(engine)
    for name, others in (
        ("event", {("author", "ShareRowExclusiveLock")}),
        ("two", {("note", "ShareRowExclusiveLock")}),
        ("week", set()),
    ):
        with engine.begin() as connection:
            call = (
                f"SELECT pgultra_partitions_premake('{name}', {name}_partitions(), "
                "now() + interval '3 months')"
            )
            assert connection.scalar(sa.text(call))
            names = ["author", "note", "event", "two", "week"]
            found = {tuple(row) for row in connection.execute(sa.text(LOCKS), {"names": names})}
            assert found == {(name, "ShareUpdateExclusiveLock"), *others}


MADE = """
SELECT pg_get_expr(c.relpartbound, c.oid) AS bound, c.relkind::text, c.reloptions,
    (SELECT array_agg(format('%s %s %s', a.attname, a.atttypid, a.attnotnull) ORDER BY a.attnum)
        FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,
    (SELECT count(*) FROM pg_constraint AS k WHERE k.conrelid = c.oid) AS constraints,
    (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = c.oid) AS indexes,
    (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid) AS triggers
FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
WHERE h.inhparent = CAST(:table AS regclass) ORDER BY 1
"""


def test_a_statement_costs_what_it_costs_on_a_table_divided_by_hand(engine: sa.Engine) -> None:
    """
    The ORM sends the same text, the server makes the same plan, on partitions that are the same.
    """

    class Base(DeclarativeBase):
        pass

    def columns(name: str) -> dict[str, Any]:
        return {
            "__tablename__": name,
            "id": mapped_column(sa.BigInteger, primary_key=True, autoincrement=False),
            "at": mapped_column(sa.DateTime(timezone=True), primary_key=True),
            "note": mapped_column(sa.Text, index=True),
        }

    rules = ByRange("at", every="1 month", premake=11)
    ours = type("Ours", (PartitionedTable, Base), {**columns("ours"), "__partition_by__": rules})
    by_hand = {**columns("theirs"), "__table_args__": {"postgresql_partition_by": "RANGE (at)"}}
    theirs = type("Theirs", (Base,), by_hand)
    Base.metadata.create_all(engine)
    bounds = "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i JOIN pg_class AS c "
    bounds += "ON c.oid = i.inhrelid WHERE i.inhparent = 'ours'::regclass ORDER BY c.relname"
    with engine.begin() as connection:
        for number, bound in enumerate(connection.scalars(sa.text(bounds)).all()):
            connection.exec_driver_sql(f"CREATE TABLE theirs_{number} PARTITION OF theirs {bound}")
        made = [
            [tuple(row) for row in connection.execute(sa.text(MADE), {"table": table})]
            for table in ("ours", "theirs")
        ]
    assert len(made[0]) == 12
    assert made[0] == made[1]
    sent: dict[str, list[str]] = {"ours": [], "theirs": []}
    now = datetime.now(UTC)
    for model, name in ((ours, "ours"), (theirs, "theirs")):
        with Session(engine) as session:
            log = sent[name]

            def note(*given: Any, log: list[str] = log) -> None:
                log.append(given[2])

            sa.event.listen(engine, "before_cursor_execute", note)
            thing: Any = model(id=1, at=now)
            session.add(thing)
            session.flush()
            session.execute(sa.insert(model), [{"id": n, "at": now} for n in range(2, 50)])
            thing.at = now + timedelta(days=40)
            session.flush()
            session.expire_all()
            assert session.get(model, (1, now + timedelta(days=40))) is thing
            session.execute(sa.update(model).where(model.id == 3).values(note="x"))
            session.execute(sa.delete(model).where(model.at == now))
            sa.event.remove(engine, "before_cursor_execute", note)
            for query in (
                f"SELECT * FROM {name} WHERE id = 1 AND at = '2999-01-01'",
                f"SELECT * FROM {name} WHERE note = 'x'",
                f"INSERT INTO {name} VALUES (1, now())",
                f"UPDATE {name} SET at = now() WHERE id = 1",
            ):
                plan_of = session.execute(sa.text(f"EXPLAIN (COSTS off) {query}")).scalars()
                log.append(re.sub(r"\b(ours|theirs)\w*", "it", "\n".join(plan_of)))
    assert [text.replace("ours", "theirs") for text in sent["ours"]] == sent["theirs"]
    assert len(sent["ours"]) > 9
