from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgultra import DeclarationError, Trigger, plan
from pgultra.objects import Identity, Mark, Scope
from pgultra.objects._trigger_catalog import when_of
from pgultra.sql import statement

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

OURS = Mark("default", "declared")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


def trigger(**options: Any) -> Trigger:
    return Trigger(
        **{
            "name": "t",
            "table": "item",
            "timing": "BEFORE",
            "events": ("INSERT",),
            "function": "f",
            **options,
        }
    )


@pytest.fixture
def run(connection: sa.Connection) -> Callable[..., None]:
    """
    `run(*statements)`, on a table ``item`` with a function ``f``.
    """

    def statements(*texts: str) -> None:
        for text in texts:
            connection.execute(statement(text))

    statements(
        "CREATE TABLE item (id int, name text)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'",
    )
    return statements


def read(connection: sa.Connection, *triggers: Trigger) -> list[Trigger]:
    scope = plan.scope_of(connection, [], plan.State(triggers), application="default")
    return list(plan.read(connection, scope).values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "CREATE TRIGGER t BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION f()"),
        (
            {"events": ("UPDATE", "INSERT"), "columns": ("a", "b c"), "schema": "s"},
            (
                'CREATE TRIGGER t BEFORE INSERT OR UPDATE OF a, "b c" ON s.item FOR EACH ROW '
                "EXECUTE FUNCTION s.f()"
            ),
        ),
        (
            {"schema": "s", "function_schema": None, "arguments": ("a'b", "\\"), "when": "true"},
            (
                "CREATE TRIGGER t BEFORE INSERT ON s.item FOR EACH ROW WHEN (true) "
                "EXECUTE FUNCTION f('a''b', E'\\\\')"
            ),
        ),
        (
            {"timing": "AFTER", "level": "STATEMENT", "old_table": "o", "new_table": "N"},
            (
                'CREATE TRIGGER t AFTER INSERT ON item REFERENCING OLD TABLE AS o NEW TABLE AS "N" '
                "FOR EACH STATEMENT EXECUTE FUNCTION f()"
            ),
        ),
        (
            {"timing": "AFTER", "constraint": True, "deferrable": True, "initially_deferred": True},
            (
                "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION f()"
            ),
        ),
    ],
)
def test_statements(options: dict[str, Any], expected: str) -> None:
    """
    Everything that PostgreSQL knows of triggers can be said.
    """
    assert trigger(**options).create() == (expected,)


def test_firing_modes_are_altered() -> None:
    """
    A new trigger is enabled; another mode is a statement of its own, in both directions.
    """
    assert trigger(enabled="D").create()[1:] == ("ALTER TABLE item DISABLE TRIGGER t",)
    assert trigger().replace(trigger(enabled="A")) == ("ALTER TABLE item ENABLE TRIGGER t",)
    assert trigger(enabled="R").replace(trigger()) == ("ALTER TABLE item ENABLE REPLICA TRIGGER t",)
    late = {"constraint": True, "timing": "AFTER"}
    assert trigger(**late).in_place(trigger(enabled="D", **late))
    assert not trigger(**late).in_place(trigger(enabled="D", when="true", **late))


@pytest.mark.parametrize("options", [{"timing": "DURING"}, {"events": ()}, {"events": ("MERGE",)}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """
    The error names trigger and table.
    """
    with pytest.raises(DeclarationError, match="trigger t on table item: timing is BEFORE"):
        trigger(**options)


def test_it_needs_its_table_and_its_function() -> None:
    """
    In the schemas where they are.
    """
    assert trigger(schema="s", function_schema=None).requires == (
        Identity("function", None, "f()"),
        Identity("table", "s", "item"),
    )


def test_it_moves_with_its_function() -> None:
    """
    If both lived in one schema; a function elsewhere stays there.
    """
    assert trigger(schema="s").moved(None).function_schema is None
    assert trigger(schema="s", function_schema="tools").moved(None).function_schema == "tools"
    scope = Scope("default", "public")
    assert trigger(schema="public").canonical(scope) == trigger()
    assert trigger(function_schema="public").canonical(scope) == trigger()


@pytest.mark.slow
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arguments=st.lists(texts, max_size=3), text=texts)
@example(["x) EXECUTE FUNCTION f(", " WHEN (true) EXECUTE FUNCTION "], "' WHEN (")
@example(["\\", "\t", ""], "\\")
def test_arguments_and_conditions_are_read_back(
    connection: sa.Connection, arguments: list[str], text: str
) -> None:
    """
    Whatever stands in them.
    """
    from pgultra.sql import literal

    made = trigger(arguments=tuple(arguments), when=f"new.name <> {literal(text)}", mark=OURS)
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql("CREATE TABLE item (id int, name text)")
        connection.exec_driver_sql(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end'"
        )
        for each in made.create():
            connection.execute(statement(each))
        (found,) = read(connection, made)
        again = dataclasses.replace(found, when=None, mark=None)
        assert again == dataclasses.replace(made, when=None, mark=None)
        condition = connection.scalar(statement(f"SELECT {literal(text)}::text"))
        assert condition == text
        for each in (*found.drop(), *found.create()):
            connection.execute(statement(each))
        assert read(connection, made) == [found]
        savepoint.rollback()


@pytest.mark.parametrize(
    ("definition", "when"),
    [
        ("CREATE TRIGGER t BEFORE INSERT ON i FOR EACH ROW EXECUTE FUNCTION f()", None),
        ("… FOR EACH ROW WHEN ((new.a > 1)) EXECUTE FUNCTION f()", "(new.a > 1)"),
        (
            "… FOR EACH ROW WHEN ((new.a = ') EXECUTE FUNCTION g('::text)) EXECUTE FUNCTION f('x')",
            "(new.a = ') EXECUTE FUNCTION g('::text)",
        ),
        (
            "CREATE TRIGGER \" WHEN (x) EXECUTE FUNCTION \" … EXECUTE FUNCTION f(') EXECUTE FUNCTION ')",
            None,
        ),
        ("… WHEN (true) EXECUTE FUNCTION f(' WHEN (x) EXECUTE FUNCTION ')", "true"),
    ],
)
def test_the_condition_is_found_in_the_definition(definition: str, when: str | None) -> None:
    """
    Not in names, nor in texts that look like one.
    """
    assert when_of(definition) == when


def test_strangers_are_read_only_if_they_are_wanted(
    connection: sa.Connection, run: Callable[..., None]
) -> None:
    """
    A mark counts on our tables; a name counts anywhere.
    """
    run(*trigger().create(), *trigger(name="other", mark=OURS).create())
    run("CREATE TABLE elsewhere (id int)")
    run(*trigger(table="elsewhere", mark=OURS).create())
    assert [each.name for each in read(connection, trigger())] == ["t"]
    marked = connection.exec_driver_sql(
        "SELECT array_agg(objoid::text) FROM pg_description WHERE classoid = 'pg_trigger'::regclass"
    ).scalar_one()
    scope = Scope(
        "default",
        "public",
        tables=frozenset({("public", "item")}),
        marked={"pg_trigger": marked},
    )
    assert [each.name for each in Trigger.read(connection, scope)] == ["other"]


def test_triggers_of_partitions_and_of_foreign_keys_are_not_read(
    connection: sa.Connection, run: Callable[..., None]
) -> None:
    """
    PostgreSQL makes copies for partitions, and its own for foreign keys.
    """
    run(
        "CREATE TABLE parent (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF parent FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE child (id int REFERENCES parent)",
        *trigger(table="parent").create(),
    )
    wanted = [trigger(table="parent"), trigger(table="part")]
    assert [each.table for each in read(connection, *wanted)] == ["parent"]


@pytest.mark.parametrize("events", [("UPDATE", "REMOVE"), "INSERT OR UPDATE", ("update",), ()])
def test_misspelt_events(events: Any) -> None:
    """
    Each event is one that PostgreSQL knows; none is left out silently.
    """
    with pytest.raises(DeclarationError, match="events are some of INSERT, DELETE"):
        Trigger(name="t", table="visit", timing="BEFORE", events=events, function="f")
