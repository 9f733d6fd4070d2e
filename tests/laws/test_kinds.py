from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from pgultra import plan
from pgultra.objects import KINDS, Identity
from pgultra.plan.canonical import comparable
from pgultra.sql import statement
from tests.laws.samples import KINDS_OF, STYLES, Place, declare_place

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pgultra.objects import DatabaseObject, Scope

PLACES = [*(Place(None, style) for style in STYLES), Place("Shop's"), Place("Shop's", "weird")]
places = pytest.mark.parametrize("place", PLACES, ids=str)
kinds = pytest.mark.parametrize("kind", [kind.kind for kind in KINDS])


def unmarked(state: plan.State) -> plan.State:
    """
    Objects without the marks whose fingerprints would answer for the server.
    """
    return plan.State(dataclasses.replace(each, mark=None) for each in state.values())


def of_kind(kind: str, state: plan.State) -> list[DatabaseObject]:
    return [each for each in state.values() if each.kind == kind]


def law(connection: sa.Connection, desired: plan.State, scope: Scope) -> dict[str, tuple]:
    """
    Both sides of the law for each object, where they differ.
    """
    sides = comparable(connection, unmarked(desired), scope)
    differing = {}
    for identity, canonical in sides.desired.items():
        found = sides.actual.get(identity)
        stripped = found and dataclasses.replace(found, mark=None)
        if found is None or canonical != stripped:
            differing[str(identity)] = (canonical, found)
    return differing


def test_every_kind_has_a_sample() -> None:
    """
    A new noun is a line in KINDS and a sample for the laws.
    """
    assert set(KINDS_OF) == {kind.kind for kind in KINDS}


@kinds
@places
def test_what_is_read_is_what_was_made(connection: sa.Connection, place: Place, kind: str) -> None:
    """
    read(create(x)) == canonical(x), also after drop(x) and create(x) by the noun's own SQL.
    """
    metadata = declare_place(kind, place)
    metadata.create_all(connection)
    desired = plan.collect(metadata)
    scope = plan.scope_of(connection, [metadata], desired, application="default")
    assert of_kind(kind, desired)
    assert law(connection, desired, scope) == {}
    place_itself = Identity("schema", None, str(place.schema))
    steps = [
        step
        for step in plan.sorted_plan(plan.compare(desired, plan.State())).steps
        if step.identity != place_itself
    ]
    for step in reversed(steps):
        for text in step.subject.drop():
            connection.execute(statement(text.replace(" CONCURRENTLY", "")))
    left = [each for each in plan.read(connection, scope).values() if each.dropped]
    assert [each for each in left if each.identity != place_itself] == []
    for step in steps:
        for text in step.subject.create():
            connection.execute(statement(text.replace(" CONCURRENTLY", "")))
    assert law(connection, desired, scope) == {}
    assert list(map(str, plan.check(connection, metadata))) == []


@kinds
def test_marks_are_read_back(connection: sa.Connection, kind: str) -> None:
    """
    Every noun that is ours bears its mark, extensions and columns aside.
    """
    metadata = declare_place(kind, Place())
    metadata.create_all(connection)
    desired = plan.collect(metadata)
    scope = plan.scope_of(connection, [metadata], desired, application="default")
    for each in plan.read(connection, scope).values():
        if each.kind not in ("extension", "generation"):
            assert each.mark is not None, each.identity
            assert each.mark.application == "default"
            assert each.mark.room == ("partitions" if kind == "partitioning" else "declared")
