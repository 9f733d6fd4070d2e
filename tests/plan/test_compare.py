from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pgultra import (
    Check,
    ConflictingObjects,
    Extension,
    Function,
    Schema,
    Trigger,
    View,
)
from pgultra.objects import Mark
from pgultra.plan import Plan, State, Step, compare

OURS, THEIRS = Mark("default", "declared"), Mark("other", "declared")
OLD = Function(name="f", body="old", mark=OURS)
NEW = Function(name="f", body="new", mark=OURS)
VIEW = View(name="v", query="SELECT 1", mark=OURS)


def plan_of(desired: Any, actual: Any) -> Plan:
    return compare(State(filter(None, [desired])), State(filter(None, [actual])))


def test_equal_states_need_nothing() -> None:
    """
    The empty plan is falsy: no drift.
    """
    plan = plan_of(OLD, OLD)
    assert not plan
    assert len(plan) == 0
    assert plan.statements() == ()
    assert plan.insist() is plan


@pytest.mark.parametrize(
    ("desired", "actual", "verb"),
    [
        (NEW, None, "create"),
        (None, OLD, "drop"),
        (NEW, OLD, "replace"),
        (NEW, dataclasses.replace(NEW, mark=None), "mark"),
        (dataclasses.replace(NEW, mark=Mark("default", "audit")), NEW, "replace"),
    ],
)
def test_one_step_for_one_difference(desired: Any, actual: Any, verb: str) -> None:
    """
    Create, drop, replace, mark; and its reverse.
    """
    plan = plan_of(desired, actual)
    (step,) = plan
    assert step.verb == verb
    assert str(step) == f"{verb} function f()"
    back = {"create": "drop", "drop": "create", "mark": "unmark"}.get(verb, verb)
    assert [each.verb for each in plan.reverse()] == [back]
    assert plan.reverse().reverse() == Plan(plan.steps)
    assert plan


def test_the_text_that_the_models_declared_is_what_is_made() -> None:
    """
    Printed forms serve the comparison only.
    """
    declared, printed = (
        dataclasses.replace(VIEW, query="select 2"),
        dataclasses.replace(VIEW, query=" SELECT 2;"),
    )
    plan = compare(State([printed]), State([VIEW]), {VIEW.identity: declared})
    assert plan.steps[0].after is declared


@pytest.mark.parametrize(
    ("actual", "told"),
    [
        (dataclasses.replace(OLD, mark=None), "it bears no mark of pgultra, and differs in body"),
        (dataclasses.replace(OLD, mark=THEIRS), "it belongs to the application 'other'"),
        (dataclasses.replace(NEW, mark=THEIRS), "it belongs to the application 'other'"),
    ],
)
def test_what_is_not_ours_is_a_conflict(actual: Any, told: str) -> None:
    """
    No step, but a sentence; and an error for who insists.
    """
    plan = plan_of(NEW, actual)
    assert plan.steps == ()
    assert plan
    assert told in plan.conflicts[0]
    assert plan.conflicts[0].identity == NEW.identity
    assert plan.conflicts[0].subject == NEW
    with pytest.raises(ConflictingObjects, match="Nothing was changed") as caught:
        plan.insist()
    assert caught.value.conflicts == plan.conflicts


def test_strangers_are_not_dropped() -> None:
    """
    Unmarked objects that nobody declared are nobody's business; extensions are never dropped.
    """
    assert not plan_of(None, dataclasses.replace(OLD, mark=None))
    assert not plan_of(None, Extension(name="vector"))
    assert not plan_of(Extension(name="vector", schema="x"), Extension(name="vector"))


def test_drops_come_last_made_first() -> None:
    """
    Without any dependency the plan drops in the opposite order.
    """
    actual = State([Schema(name="s", mark=OURS), OLD, VIEW])
    assert [step.identity.kind for step in compare(State(), actual)] == [
        "view",
        "function",
        "schema",
    ]


def test_a_replaced_function_stays_in_place_while_its_signature_stays() -> None:
    """
    Else it is a drop and a create.
    """
    (step,) = plan_of(NEW, OLD)
    assert step.in_place
    assert step.statements()[0].startswith("CREATE OR REPLACE FUNCTION f()")
    (step,) = plan_of(dataclasses.replace(NEW, returns="int"), OLD)
    assert not step.in_place
    first, second = step.halves()
    assert (first.verb, second.verb) == ("drop", "create")
    assert step.statements() == (*first.statements(), *second.statements())


def test_a_mark_changes_no_more_than_a_comment() -> None:
    """
    And keeps what the user wrote above it; taking it back leaves that.
    """
    bare = dataclasses.replace(NEW, mark=None, comment="Mine.\nAll mine.")
    (step,) = plan_of(NEW, bare)
    assert step.only_marks
    assert step.in_place
    assert step.statements() == (
        "COMMENT ON FUNCTION f() IS 'Mine.\nAll mine.\npgultra:default:declared'",
    )
    assert step.reverse().statements() == ("COMMENT ON FUNCTION f() IS 'Mine.\nAll mine.'",)
    (step,) = plan_of(NEW, dataclasses.replace(bare, comment=None))
    assert step.reverse().statements() == ("COMMENT ON FUNCTION f() IS NULL",)


def test_a_step_apart_is_a_rebuild() -> None:
    """
    The same before and after, with a gap between.
    """
    step = Step(VIEW, VIEW, apart=True)
    assert step.verb == "rebuild"
    assert not step.in_place
    assert step.reverse() == step
    assert step.statements()[0] == "DROP VIEW v"


def test_rooms_of_steps() -> None:
    """
    The mark says which room a step is for, on either side.
    """
    assert Step(None, NEW).room == "declared"
    assert Step(OLD, None).room == "declared"
    assert Step(None, dataclasses.replace(NEW, mark=None)).room == "unmarked"


def test_fields_that_differ_are_named() -> None:
    """
    Marks, comments and order are no difference.
    """
    one = Trigger(name="t", table="i", timing="BEFORE", events=("INSERT",), function="f")
    other = dataclasses.replace(one, when="true", level="STATEMENT", mark=OURS, comment="x")
    assert one.differing(other) == ["level", "when"]
    assert one.same_as(dataclasses.replace(one, mark=OURS, comment="x"))
    assert not one.same_as(Check(name="t", table="i", condition="true"))
