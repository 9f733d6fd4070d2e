from __future__ import annotations

import dataclasses

import pytest

from pgultra import DeclarationError, Function, Schema, Trigger, View
from pgultra.objects import Identity, Mark
from pgultra.plan import State

TOUCH = Function(name="touch", body="begin return new; end")


def test_a_state_is_an_ordered_mapping() -> None:
    """
    By identity, in the order of its objects.
    """
    view = View(name="v", query="SELECT 1")
    state = State([view, TOUCH])
    assert list(state) == [view.identity, TOUCH.identity]
    assert state[Identity("function", None, "touch()")] is TOUCH
    assert len(state) == 2
    assert repr(state) == "State(view v, function touch())"
    assert Identity("view", None, "w") not in state


def test_equal_objects_are_one() -> None:
    """
    A function that many tables share is there once, and needs what each of them said.
    """
    a, b = Identity("table", None, "a"), Identity("table", None, "b")
    state = State(
        [dataclasses.replace(TOUCH, requires=(a,)), dataclasses.replace(TOUCH, requires=(b,))]
    )
    assert len(state) == 1
    assert state[TOUCH.identity].requires == (a, b)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (TOUCH, dataclasses.replace(TOUCH, security="definer"), "security is 'invoker'"),
        (Schema(name="s", mark=Mark("a", "x")), Schema(name="s", mark=Mark("a", "y")), "a:x"),
        (
            Trigger(name="t", table="i", timing="BEFORE", events=("INSERT",), function="f"),
            Trigger(name="t", table="i", timing="AFTER", events=("INSERT",), function="f"),
            "timing is 'BEFORE' in one and 'AFTER' in the other; rename one",
        ),
    ],
)
def test_two_different_objects_cannot_have_one_identity(
    one: object, other: object, told: str
) -> None:
    """
    The error names the field in which they differ, and both values.
    """
    with pytest.raises(DeclarationError, match="two different declarations of") as caught:
        State([one, other])
    assert told in str(caught.value)


def test_overloads_and_other_schemas_are_different() -> None:
    """
    Arguments and schema belong to the identity.
    """
    several = [
        TOUCH,
        dataclasses.replace(TOUCH, arguments="a int", returns="int"),
        dataclasses.replace(TOUCH, schema="shop"),
    ]
    assert len(State(several)) == 3
