"""
Chains: what stands on something that cannot change in place is rebuilt with it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import Function, Identity, Trigger, View
from pgultra.objects.generation import Generation
from pgultra.plan.compare import Conflict, Plan, Step
from pgultra.plan.order import words_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgultra.objects import DatabaseObject
    from pgultra.plan.canonical import Comparable

__all__ = ["GROWN", "with_rebuilds"]

GROWN = "*"
"""Stands for columns that a table gets."""
STRANGERS = ("view", "materialized view")
"""Callers of a function that stop the plan; columns and tables may go in the same migration."""


def with_rebuilds(
    plan: Plan,
    sides: Comparable,
    altered: Mapping[Identity, frozenset[str]] | None = None,
) -> Plan:
    """
    Add the views, triggers and generated columns that must give way for a while.

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
        step.before.identity
        for step in plan.steps
        if isinstance(step.before, View | Function) and not step.in_place
    ]
    for identity, each in sides.actual.items():
        if not altered or identity not in sides.desired:
            continue
        stands = _stands_on(each, altered) or _follows(identity, sides, altered)
        if stands or (identity in steps and _will_stand_on(identity, sides, altered)):
            steps[identity] = _apart(steps.get(identity), each, sides)
            if identity.kind == "view":
                moving.append(identity)
    seen: set[Identity] = set()
    while moving:
        identity = moving.pop()
        base = sides.actual.get(identity)
        if identity in seen or not isinstance(base, View | Function):
            continue
        seen.add(identity)
        for dependent in _on(base):
            standing = sides.actual.get(dependent)
            if standing is None or standing.mark is None:
                if isinstance(base, View) or dependent.kind in STRANGERS:
                    conflicts.append(_in_the_way(dependent, base, sides))
            elif dependent in sides.desired and not _lets_go(steps.get(dependent), base):
                steps[dependent] = _apart(steps.get(dependent), standing, sides)
                moving.append(dependent)
    steps |= _for_the_way_back(steps, sides)
    return dataclasses.replace(
        plan, steps=tuple(steps.values()), conflicts=tuple(dict.fromkeys(conflicts))
    )


def _for_the_way_back(steps: Mapping[Identity, Step], sides: Comparable) -> dict[Identity, Step]:
    """
    Take apart what is ours on views that change in place, and cannot change back so.

    A step's reverse is made of the step: what gives way on the way back gives way now.
    """
    found: dict[Identity, Step] = {}
    for step in steps.values():
        if isinstance(step.before, View) and step.in_place and not step.reverse().in_place:
            found |= _all_of_ours(step.before, steps, sides)
    return found


def _all_of_ours(
    view: View, steps: Mapping[Identity, Step], sides: Comparable
) -> dict[Identity, Step]:
    """
    What stands on a view, taken apart; nothing where a stranger stands among it.

    Then the way there is good, and the way back is the server's to refuse.
    """
    found: dict[Identity, Step] = {}
    waiting = [view]
    while waiting:
        for identity in _on(waiting.pop()):
            standing = sides.actual.get(identity)
            if standing is None or standing.mark is None:
                return {}
            if identity in found or identity not in sides.desired:
                continue
            found[identity] = _apart(steps.get(identity), standing, sides)
            if isinstance(standing, View):
                waiting.append(standing)
    return found


def _key(step: Step) -> Identity:
    """
    How ``read`` spells it: what is declared may name the default schema.
    """
    return (step.before or step.subject).identity


def _apart(step: Step | None, standing: DatabaseObject, sides: Comparable) -> Step:
    if step is None:
        return Step(standing, sides.originals[standing.identity], apart=True)
    if step.before is None or step.after is None:
        return step
    return dataclasses.replace(step, apart=True)


def _in_the_way(dependent: Identity, base: View | Function, sides: Comparable) -> Conflict:
    what = "whose columns change" if isinstance(base, View) else "whose result changes"
    if base.identity not in sides.desired:
        what = "which is no longer declared"
    reason = (
        f"it stands on {base.identity}, {what}, and pgultra did not make it; drop it before the "
        "migration and make it again afterwards, or declare it too"
    )
    return Conflict.of(dependent, base, reason)


def _on(base: View | Function) -> Iterator[Identity]:
    """
    What would go with it, or keep it from going: views, triggers, rules, who calls it.
    """
    if isinstance(base, Function):
        yield from base.callers
        return
    yield from base.belongings.dependents
    for kind, name in base.belongings.riders:
        yield Identity(kind, base.schema, name, base.name)


def _lets_go(step: Step | None, base: View | Function) -> bool:
    """
    Whether a step changes it in place so that it does not call the function any more.
    """
    if step is None or not step.in_place or not isinstance(base, Function):
        return False
    return base.name not in words_in(step.subject)


def _stands_on(each: DatabaseObject, altered: Mapping[Identity, frozenset[str]]) -> bool:
    if isinstance(each, View):
        used = each.belongings.used_columns
        return any(column in altered.get(table, ()) for table, column in used)
    if isinstance(each, Trigger):
        columns = altered.get(Identity("table", each.schema, each.table), frozenset())
        return bool(columns & set(each.columns)) or bool(columns - {GROWN} and each.when)
    if isinstance(each, Generation):
        table = Identity("table", each.schema, each.table)
        return bool(altered.get(table, frozenset()) & set(each.reads))
    return False


def _will_stand_on(
    view: Identity, sides: Comparable, altered: Mapping[Identity, frozenset[str]]
) -> bool:
    """
    Whether its new text names a column that is retyped or dropped, or all of them.
    """
    declared = sides.originals[view]
    if not isinstance(declared, View):
        return False
    words = words_in(declared)
    return any(
        table.name in words and bool(columns - {GROWN} if declared.lists_all else columns & words)
        for table, columns in altered.items()
    )


def _follows(view: Identity, sides: Comparable, altered: Mapping[Identity, frozenset[str]]) -> bool:
    """
    Whether it says ``SELECT *`` of a table that gets columns.
    """
    declared, actual = sides.originals[view], sides.actual[view]
    if not isinstance(declared, View) or not isinstance(actual, View) or not declared.lists_all:
        return False
    return any(GROWN in altered.get(table, ()) for table in actual.belongings.uses)
