"""
Chains: what stands on something that cannot change in place is rebuilt with it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import Identity, Trigger, View
from pgultra.plan.compare import Conflict, Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgultra.objects import DatabaseObject
    from pgultra.plan.canonical import Comparable

__all__ = ["GROWN", "with_rebuilds"]

GROWN = "*"
"""Stands for columns that a table gets."""


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
        altered: tables whose columns are dropped or change their type, with these columns;
            GROWN among them where columns are added.

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
        if not altered or identity not in sides.desired:
            continue
        if _stands_on(each, altered) or _follows(identity, sides, altered):
            steps[identity] = _apart(steps.get(identity), each, sides)
            if identity.kind == "view":
                moving.append(identity)
    seen: set[Identity] = set()
    while moving:
        identity = moving.pop()
        view = sides.actual.get(identity)
        if identity in seen or not isinstance(view, View):
            continue
        seen.add(identity)
        stays = identity in sides.desired
        for dependent in _on(view):
            standing = sides.actual.get(dependent)
            if standing is None or standing.mark is None:
                what = "whose columns change" if stays else "which is no longer declared"
                reason = (
                    f"it stands on {identity}, {what}, and pgultra did not make it; drop it "
                    "before the migration and make it again afterwards, or declare it too"
                )
                conflicts.append(Conflict.of(dependent, view, reason))
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


def _on(view: View) -> Iterator[Identity]:
    """
    What would go with the view, or keep it from going: views, triggers, rules.
    """
    yield from view.belongings.dependents
    for kind, name in view.belongings.riders:
        yield Identity(kind, view.schema, name, view.name)


def _stands_on(each: DatabaseObject, altered: Mapping[Identity, frozenset[str]]) -> bool:
    if isinstance(each, View):
        used = each.belongings.used_columns
        return any(column in altered.get(table, ()) for table, column in used)
    if isinstance(each, Trigger):
        columns = altered.get(Identity("table", each.schema, each.table), frozenset())
        return bool(columns & set(each.columns)) or bool(columns and each.when)
    return False


def _follows(view: Identity, sides: Comparable, altered: Mapping[Identity, frozenset[str]]) -> bool:
    """
    Whether it says ``SELECT *`` of a table that gets columns.
    """
    declared, actual = sides.originals[view], sides.actual[view]
    if not isinstance(declared, View) or not isinstance(actual, View) or not declared.lists_all:
        return False
    return any(GROWN in altered.get(table, ()) for table in actual.belongings.uses)
