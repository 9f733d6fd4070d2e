from __future__ import annotations

import dataclasses
from typing import Any

from pgultra import Function, Trigger, View
from pgultra.objects import Generation, Identity, Mark
from pgultra.objects._belongings import Belongings
from pgultra.plan import Plan, State, compare
from pgultra.plan.canonical import Comparable
from pgultra.plan.rebuild import GROWN, with_rebuilds

OURS = Mark("default", "declared")
ITEM = Identity("table", None, "item")


def view(name: str, query: str = "SELECT 1", *, columns: str = "a", **belongings: Any) -> View:
    """
    A view of ours as it was read.
    """
    pairs = tuple((column, "integer") for column in columns)
    has = Belongings(columns=pairs, **belongings)
    return View(name=name, query=query, mark=OURS, columns=pairs, belongings=has)


def planned(desired: list[Any], actual: list[Any], altered: Any = None, released: Any = ()) -> Plan:
    states = State(desired), State(actual)
    sides = Comparable(states[0], states[1], dict(states[0]))
    return with_rebuilds(compare(*states, sides.originals), sides, altered, released)


def test_a_chain_is_rebuilt_as_far_as_it_reaches() -> None:
    """
    Views on views on the changed one, and triggers on any of them.
    """
    one = view("one", dependents=(Identity("view", None, "two"),))
    two = view("two", dependents=(Identity("view", None, "three"),), riders=(("trigger", "t"),))
    three, aside = view("three"), view("aside")
    t = Trigger(
        name="t",
        table="two",
        timing="INSTEAD OF",
        events=("INSERT",),
        function="f",
        mark=OURS,
    )
    changed = view("one", "SELECT 2", columns="b")
    plan = planned([changed, two, three, aside, t], [one, two, three, aside, t])
    assert {(step.verb, step.identity.name) for step in plan} == {
        ("replace", "one"),
        ("rebuild", "two"),
        ("rebuild", "three"),
        ("rebuild", "t"),
    }
    assert plan.conflicts == ()


def test_an_appended_column_rebuilds_what_is_ours_for_the_way_back() -> None:
    """
    CREATE OR REPLACE would leave what stands on it; to take the column away drops the view.
    """
    one = view("one", dependents=(Identity("view", None, "two"),))
    two = view("two", dependents=(Identity("view", None, "three"),))
    three = view("three")
    changed = view("one", "SELECT 2", columns="ab")
    plan = planned([changed, two, three], [one, two, three])
    assert {(step.verb, step.identity.name, step.in_place) for step in plan} == {
        ("replace", "one", True),
        ("rebuild", "two", False),
        ("rebuild", "three", False),
    }


def test_an_appended_column_under_a_stranger_rebuilds_nothing() -> None:
    """
    The way there needs nothing to give way, and is not refused.
    """
    one = view("one", dependents=(Identity("view", None, "two"), Identity("view", None, "x")))
    changed = view("one", "SELECT 2", columns="ab")
    plan = planned([changed, view("two")], [one, view("two")])
    assert [step.in_place for step in plan] == [True]
    assert plan.conflicts == ()


def test_strangers_on_the_chain_are_conflicts() -> None:
    """
    Views, triggers and rules that we did not make.
    """
    one = view(
        "one",
        dependents=(Identity("view", None, "theirs"), Identity("materialized view", "x", "kept")),
        riders=(("trigger", "u"), ("rule", "r")),
    )
    theirs = dataclasses.replace(view("theirs"), mark=None)
    for desired in ([view("one", "SELECT 2", columns="b")], []):
        plan = planned(desired, [one, theirs])
        assert [conflict.partition(":")[0] for conflict in plan.conflicts] == [
            "view theirs",
            "materialized view x.kept",
            "trigger u on one",
            "rule r on one",
        ]
        assert all(conflict.subject.name == "one" for conflict in plan.conflicts)


def test_what_goes_too_needs_no_rebuild() -> None:
    """
    A dependent that is no longer declared is dropped anyway.
    """
    one, two = view("one", dependents=(Identity("view", None, "two"),)), view("two")
    plan = planned([view("one", "SELECT 2", columns="b")], [one, two])
    assert {(step.verb, step.identity.name) for step in plan} == {
        ("replace", "one"),
        ("drop", "two"),
    }


def test_altered_columns_move_what_stands_on_them() -> None:
    """
    Only what uses the column, and triggers whose condition may.
    """
    uses = view("uses", used_columns=((ITEM, "a"),))
    other = view("other", used_columns=((ITEM, "b"), (Identity("table", "x", "item"), "a")))

    def trigger(name: str, **options: Any) -> Trigger:
        common = {"table": "item", "timing": "BEFORE", "events": ("UPDATE",), "function": "f"}
        return Trigger(name=name, mark=OURS, **common, **options)

    triggers = [trigger("of", columns=("a",)), trigger("when", when="x"), trigger("plain")]
    everything = [uses, other, *triggers]
    plan = planned(everything, everything, {ITEM: frozenset({"a"})})
    assert {step.identity.name for step in plan} == {"uses", "of", "when"}
    assert {step.verb for step in plan} == {"rebuild"}


def test_altered_columns_move_generated_columns_that_read_them() -> None:
    """
    PostgreSQL would refuse to retype or drop such a column.
    """

    def generation(name: str, *reads: str) -> Generation:
        return Generation(name=name, table="item", type="integer", expression="1", reads=reads)

    everything = [generation("reads", "a", "b"), generation("other", "b")]
    plan = planned(everything, everything, {ITEM: frozenset({"a", GROWN})})
    assert {(step.verb, step.identity.name) for step in plan} == {("rebuild", "reads")}


def test_added_columns_leave_triggers_alone() -> None:
    """
    Whatever their WHEN looks at, it is there already; one that is retyped or dropped moves them.
    """
    t = Trigger(
        name="t",
        table="item",
        timing="BEFORE",
        events=("UPDATE",),
        function="f",
        when="OLD.a IS DISTINCT FROM NEW.a",
        mark=OURS,
    )
    assert not planned([t], [t], {ITEM: frozenset({GROWN})}).steps
    plan = planned([t], [t], {ITEM: frozenset({"a", GROWN})})
    assert {(step.verb, step.identity.name) for step in plan} == {("rebuild", "t")}


def test_added_columns_move_views_of_everything() -> None:
    """
    SELECT * follows its table; count(*) does not.
    """
    star = view("star", "SELECT * FROM item", uses=(ITEM,))
    count = view("count", "SELECT count(*) FROM item", uses=(ITEM,))
    plan = planned([star, count], [star, count], {ITEM: frozenset({GROWN})})
    assert [step.identity.name for step in plan] == ["star"]


def test_callers_of_a_function_move_with_it() -> None:
    """
    Unless they let go of it by themselves; strangers stop the plan, unless they are released.
    """
    callers = tuple(Identity("view", None, name) for name in ("calls", "lets_go", "theirs"))
    column = Identity("column", None, "c", "item")
    old = Function(name="f", body="x", returns="int", mark=OURS, callers=(*callers, column))
    new = dataclasses.replace(old, returns="bigint", callers=())
    calls, lets_go = view("calls", "SELECT f()"), view("lets_go", "SELECT f()")
    after = [new, calls, view("lets_go", "SELECT 1")]
    plan = planned(after, [old, calls, lets_go])
    assert {(step.verb, step.identity.name) for step in plan} == {
        ("replace", "f()"),
        ("rebuild", "calls"),
        ("replace", "lets_go"),
    }
    assert [conflict.identity.name for conflict in plan.conflicts] == ["theirs", "c"]
    for released in (column, ITEM):
        plan = planned(after, [old, calls, lets_go], released={released})
        assert [conflict.identity.name for conflict in plan.conflicts] == ["theirs"]
