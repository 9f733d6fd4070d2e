from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import Check, Function, Index, Trigger, View, declare, plan
from pgultra.plan.canonical import comparable
from tests.laws.samples import Place, everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

CONDITIONS = [
    "name in ('a', 'b')",
    "name not in ('a', 'b')",
    "name like 'x%' and id between 1 and 9",
    "coalesce(name, '') <> ''",
    "case when id > 3 then name is null else true end",
    "id::text || name = 'x' or not (id = 1)",
    "(name)::char(3) = 'abc'",
    "extract(year from at) = 2020",
    "at > now() - interval '1 day'",
    "name is distinct from kind",
    "kind = any (array['a', 'b'])",
    "(id, name) = (1, 'a')",
    "name ~ E'a\\\\b\\n' collate \"C\"",
]
"""Each is printed quite unlike it was written, the first two differently once more."""


def item(*declared: Any, metadata: sa.MetaData | None = None) -> sa.MetaData:
    metadata = metadata or sa.MetaData()
    table = sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20)),
        sa.Column("kind", sa.String(20)),
        sa.Column("at", sa.DateTime(timezone=True)),
    )
    declare(table, *declared)
    return metadata


def conditions() -> sa.MetaData:
    """
    Every condition in every noun whose text PostgreSQL prints anew.
    """
    metadata = item(Function(name="f", body="begin return new; end"))
    table = metadata.tables["item"]
    for number, condition in enumerate(CONDITIONS):
        qualified = condition
        for column in ("name", "kind", "id", "at"):
            qualified = _qualify(qualified, column)
        declare(
            table,
            Check(name=f"c{number}", table="item", condition=condition),
            View(name=f"v{number}", query=f"SELECT * FROM item WHERE {condition}"),
            Trigger(
                name=f"t{number}",
                table="item",
                timing="AFTER",
                events=("INSERT",),
                when=qualified,
                function="f",
            ),
        )
        if "now()" not in condition and "extract" not in condition:
            index = sa.Index(f"i{number}", table.c.id, postgresql_where=sa.text(condition))
            declare(table, Index.of(index))
    return metadata


def _qualify(text: str, column: str) -> str:
    import re

    return re.sub(rf"(?<![\w.'\"]){column}(?![\w'\"])", f"new.{column}", text)


def found(engine: sa.Engine, metadata: sa.MetaData | list[sa.MetaData]) -> list[str]:
    with engine.connect() as connection:
        checked = plan.check(connection, metadata)
    return [*map(str, checked), *checked.conflicts]


def test_printed_forms_are_no_drift(engine: sa.Engine) -> None:
    """
    However PostgreSQL prints it, what was made is what was declared.
    """
    conditions().create_all(engine)
    assert found(engine, conditions()) == []


@pytest.mark.slow
def test_a_dump_that_was_restored_is_no_drift(
    engine: sa.Engine,
    database: Database,
    new_database: Callable[[], Database],
    pg_dump: Callable[..., str],
    psql: Callable[[Database, str], str],
) -> None:
    """
    Restoring parses what was printed, which may print differently: so does a server upgrade.
    """
    metadata = conditions()
    everything(Place()).create_all(engine)
    conditions().create_all(engine)
    restored = new_database()
    psql(restored, pg_dump(database))
    together = [metadata, everything(Place())]
    assert found(restored.engine(), together) == []
    assert pg_dump(restored) != pg_dump(database)
    bare = new_database()
    psql(bare, pg_dump(database, "--no-comments"))
    with bare.engine().begin() as connection:
        checked = plan.check(connection, together)
        assert {str(step) for step in checked if step.verb != "mark"} == set()
        assert checked.conflicts == ()
        plan.apply(checked, connection)
        assert not plan.check(connection, together)


def test_a_reprinted_condition_is_still_seen_to_change(engine: sa.Engine) -> None:
    """
    The second look makes nothing equal that is not.
    """
    metadata = conditions()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE item DROP CONSTRAINT c0")
        connection.exec_driver_sql(
            "ALTER TABLE item ADD CONSTRAINT c0 CHECK (name IN ('a', 'b', 'c'))"
        )
        connection.exec_driver_sql("COMMENT ON CONSTRAINT c0 ON item IS 'pgultra:default:declared'")
        connection.exec_driver_sql(
            "CREATE OR REPLACE VIEW v0 AS SELECT * FROM item WHERE name IN ('a')"
        )
    verbs = found(engine, metadata)
    assert "replace view v0" in verbs
    assert {"drop check c0 on item", "create check c0 on item"} <= set(verbs)


def test_only_what_exists_and_differs_is_asked_for(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A missing object is a create anyway; a view whose two fingerprints fit is not looked at.
    """
    metadata = item(View(name="v", query="select id from item where name in ('a','b')"))
    asked: list[str] = []
    original = View.twins.__func__  # type: ignore[attr-defined]

    def watched(cls: type[View], *arguments: Any) -> Any:
        for twin in original(cls, *arguments):
            asked.append(twin[1].name)
            yield twin

    monkeypatch.setattr(View, "twins", classmethod(watched))
    assert found(engine, metadata) == ["create view v"]
    metadata.create_all(engine)
    assert asked == []
    assert found(engine, metadata) == []
    assert asked == []
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE OR REPLACE VIEW v AS SELECT id FROM item")
    assert found(engine, metadata) == ["replace view v"]
    assert set(asked) == {"v"}


def test_a_twin_that_cannot_be_made_means_changed(engine: sa.Engine) -> None:
    """
    The text names a column that a migration of the same day will bring.
    """
    item(View(name="v", query="SELECT id FROM item")).create_all(engine)
    later = item(View(name="v", query="SELECT id, coming FROM item"))
    (replaced, *_) = found(engine, later)
    assert "view v" in replaced


def test_what_may_not_be_read_is_judged_by_its_fingerprint(
    engine: sa.Engine, owner_engine: sa.Engine
) -> None:
    """
    A role that cannot SELECT from the tables gets weaker answers, and no false alarm.
    """
    conditions().create_all(engine)
    with owner_engine.connect() as connection:
        checked = plan.check(connection, conditions())
    assert [*map(str, checked), *checked.conflicts] == []
    assert {identity.kind for identity in checked.weaker} == {"check", "trigger"}


@pytest.mark.parametrize("schema", ["public", None])
def test_the_default_schema_is_spelt_as_none(engine: sa.Engine, schema: str | None) -> None:
    """
    Both sides speak of the same objects, however they were declared.
    """
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema)
    on = {"table": "t", "schema": schema}
    trigger = {"timing": "BEFORE", "events": ("INSERT",), "function": "f"}
    declare(
        table,
        Function(name="f", schema=schema, body="begin return new; end"),
        Trigger(name="a", **trigger, **on),
        Trigger(name="b", function_schema=None, **trigger, **on),
        Trigger(name="c", function_schema="public", **trigger, **on),
        View(name="v", schema=schema, query="SELECT id FROM public.t"),
    )
    metadata.create_all(engine)
    with engine.connect() as connection:
        desired = plan.collect(metadata)
        scope = plan.scope_of(connection, [metadata], desired, application="default")
        sides = comparable(connection, desired, scope)
    assert {identity.schema for identity in sides.desired} == {None}
    assert set(sides.desired) == set(sides.actual)
    assert found(engine, metadata) == []
