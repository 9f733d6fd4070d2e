"""
Chains: what stands on something that cannot change in place is rebuilt with it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import Identity, Trigger, View
from pgultra.plan.compare import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgultra.objects import DatabaseObject
    from pgultra.plan.canonical import Comparable

__all__ = ["with_rebuilds"]


def with_rebuilds(
    plan: Plan,
    sides: Comparable,
    altered: Mapping[Identity, frozenset[str]] | None = None,
) -> Plan:
    """
    Add the views and triggers that must give way for a while.

    Args:
        plan: from ``compare``.
        sides: what it compared.
        altered: tables whose columns are dropped or change their type, with these columns.

    Returns:
        the plan with every dependent of ours dropped and made anew; a stranger's dependent
        becomes a conflict.
    """
    steps = {_key(step): step for step in plan.steps}
    conflicts = list(plan.conflicts)
    moving = [
        step.identity
        for step in plan.steps
        if step.identity.kind == "view" and step.before is not None and not step.in_place
    ]
    for identity, each in sides.actual.items():
        if altered and _stands_on(each, altered) and identity in sides.desired:
            steps[identity] = _apart(steps.get(identity), each, sides)
            if identity.kind == "view":
                moving.append(identity)
    seen: set[Identity] = set()
    while moving:
        identity = moving.pop()
        if identity in seen:
            continue
        seen.add(identity)
        view = sides.actual.get(identity)
        if not isinstance(view, View):
            continue
        for dependent in (*view.dependents, *_triggers_on(identity, sides)):
            standing = sides.actual.get(dependent)
            if standing is None or standing.mark is None:
                conflicts.append(
                    f"{dependent}: it stands on {identity}, whose columns change, and pgultra did "
                    "not make it; drop it before the migration and make it again afterwards, or "
                    "declare it too"
                )
            elif dependent in sides.desired:
                steps[dependent] = _apart(steps.get(dependent), standing, sides)
                moving.append(dependent)
    return dataclasses.replace(
        plan, steps=tuple(steps.values()), conflicts=tuple(dict.fromkeys(conflicts))
    )


def _key(step: Step) -> Identity:
    return step.identity


def _apart(step: Step | None, standing: DatabaseObject, sides: Comparable) -> Step:
    if step is None:
        return Step(standing, sides.originals[standing.identity], apart=True)
    if step.before is None or step.after is None:
        return step
    return dataclasses.replace(step, apart=True)


def _triggers_on(view: Identity, sides: Comparable) -> list[Identity]:
    return [
        identity
        for identity in sides.actual
        if identity.kind == "trigger"
        and (identity.schema, identity.table) == (view.schema, view.name)
    ]


def _stands_on(each: DatabaseObject, altered: Mapping[Identity, frozenset[str]]) -> bool:
    if isinstance(each, View):
        return any(column in altered.get(used, ()) for used, column in each.used_columns)
    if isinstance(each, Trigger):
        columns = altered.get(Identity("table", each.schema, each.table), frozenset())
        return bool(columns & set(each.columns)) or bool(columns and each.when)
    return False
