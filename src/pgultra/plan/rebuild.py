"""
Chains: what stands on something that cannot change in place is rebuilt with it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import Check, Function, Generation, Identity, Index, Trigger, View
from pgultra.plan.compare import Conflict, Plan, Step
from pgultra.plan.words import words_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pgultra.objects import DatabaseObject
    from pgultra.plan.canonical import Comparable

__all__ = ["GROWN", "with_rebuilds"]

GROWN = "*"
"""Stands for columns that a table gets."""


def with_rebuilds(
    plan: Plan,
    sides: Comparable,
    altered: Mapping[Identity, frozenset[str]] | None = None,
    released: Collection[Identity] = (),
) -> Plan:
    """
    Add the views, triggers and generated columns that must give way for a while.

    Args:
        plan: from ``compare``.
        sides: what it compared.
        altered: tables whose columns are dropped or change their type, with these columns;
            GROWN among them where columns are added.
        released: tables, columns, indexes and checks that let go of functions meanwhile.

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
    altered = altered or {}
    remade = _remade(steps, sides, altered)
    conflicts += _let_go_of_columns(steps, sides)
    for identity, each in sides.actual.items():
        if not (altered or remade) or identity not in sides.desired:
            continue
        stands = _stands_on(each, altered) or _follows(identity, sides, altered)
        stands = stands or _names(each, remade)
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
            dependent = _ours(dependent, sides)
            standing = sides.actual.get(dependent)
            if standing is None or standing.mark is None:
                if not _is_released(dependent, released):
                    conflicts.append(_in_the_way(dependent, base, sides))
            elif dependent in sides.desired and not _lets_go(steps.get(dependent), base):
                steps[dependent] = _apart(steps.get(dependent), standing, sides)
                moving.append(dependent)
    steps |= _for_the_way_back(steps, sides)
    return dataclasses.replace(
        plan, steps=tuple(map(_together, steps.values())), conflicts=tuple(dict.fromkeys(conflicts))
    )


def _ours(caller: Identity, sides: Comparable) -> Identity:
    """
    A column that calls a function as the generated column that we know it for.
    """
    generation = Identity("generation", *caller[1:])
    return generation if caller.kind == "column" and generation in sides.actual else caller


def _is_released(caller: Identity, released: Collection[Identity]) -> bool:
    return caller in released or Identity("table", caller.schema, caller.table or "") in released


def _remade(
    steps: dict[Identity, Step], sides: Comparable, altered: Mapping[Identity, frozenset[str]]
) -> dict[Identity, frozenset[str]]:
    """
    The generated columns that are made anew, by table: for what is to be, or what they call.

    Those too that are made anew on the way back only: what stands on them gives way now, since
    a step's reverse is made of the step.
    """
    moving = [step.before for step in steps.values() if not step.in_place]
    called = {
        _ours(caller, sides)
        for each in moving
        if isinstance(each, Function)
        for caller in each.callers
    }
    found: dict[Identity, frozenset[str]] = {}
    for identity, each in sides.actual.items():
        if not isinstance(each, Generation) or identity not in sides.desired:
            continue
        if _stands_on(each, altered) or identity in called:
            steps[identity] = _apart(steps.get(identity), each, sides)
        step = steps.get(identity)
        if step is not None and not (step.in_place and step.reverse().in_place):
            table = Identity("table", each.schema, each.table)
            found[table] = found.get(table, frozenset()) | {each.name}
    return found


def _let_go_of_columns(steps: dict[Identity, Step], sides: Comparable) -> Iterator[Conflict]:
    """
    Take apart the indexes and checks of ours that would go with a generated column.

    What others made on it comes back with the column itself; a stranger's view would keep
    it from going. Nothing is CONCURRENTLY: the table is locked and rewritten anyway.
    """
    for identity, step in list(steps.items()):
        old, new = step.before, step.after
        if not isinstance(old, Generation) or not isinstance(new, Generation):
            continue
        if step.in_place:
            steps[identity] = _without_what_changes(step, steps, sides)
            continue
        names = {index.name for index in old.indexes}
        names |= {name for name, _, _ in old.beside.constraints}
        ours = [
            each
            for each in sides.actual.values()
            if isinstance(each, Index | Check)
            and (each.schema, each.table) == (old.schema, old.table)
            and each.name in names
            and each.mark is not None
        ]
        for each in ours:
            if each.identity in sides.desired:
                apart = _apart(steps.get(each.identity), each, sides)
                steps[each.identity] = dataclasses.replace(
                    apart, before=_plain(apart.before), after=_plain(apart.after)
                )
        steps[identity] = dataclasses.replace(
            step,
            before=old.without({each.name for each in ours}),
            after=new.without(_named_on(old, sides.desired)),
        )
        for view in old.beside.views:
            standing = sides.actual.get(view)
            if standing is None or standing.mark is None:
                yield _in_the_way(view, old, sides)


def _named_on(column: Generation, identities: Iterable[Identity]) -> set[str]:
    """
    The names of the indexes and checks among them that are on the column's table.
    """
    place = (column.schema, column.table)
    return {
        each.name
        for each in identities
        if each.kind in ("index", "check") and (each.schema, each.table) == place
    }


def _without_what_changes(step: Step, steps: Mapping[Identity, Step], sides: Comparable) -> Step:
    """
    For the way back: indexes and checks that are made by steps of their own, after the column.
    """
    old, new = step.before, step.after
    assert isinstance(old, Generation) and isinstance(new, Generation)  # noqa: PT018  # one fact
    spelt = {original.identity: identity for identity, original in sides.originals.items()}
    apart = (identity for identity, other in steps.items() if not other.in_place)
    changed = _named_on(old, (spelt.get(identity, identity) for identity in apart))
    return dataclasses.replace(step, before=old.without(changed), after=new.without(changed))


def _together(step: Step) -> Step:
    """
    An index goes plainly where the next one is built so: in one transaction.
    """
    if isinstance(step.after, Index) and not step.after.concurrently:
        return dataclasses.replace(step, before=_plain(step.before))
    return step


def _plain(each: DatabaseObject | None) -> DatabaseObject | None:
    """
    Without CONCURRENTLY.
    """
    return each.but(concurrently=False) if isinstance(each, Index) else each


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
    if isinstance(standing, Generation) and step.in_place:  # it lets go, and keeps what it holds
        return step
    return dataclasses.replace(step, apart=True)


def _in_the_way(
    dependent: Identity, base: View | Function | Generation, sides: Comparable
) -> Conflict:
    what = "whose columns change" if isinstance(base, View) else "whose result changes"
    if isinstance(base, Generation):
        what = "which is made anew"
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


def _names(each: DatabaseObject, remade: Mapping[Identity, frozenset[str]]) -> bool:
    """
    Whether it cannot stay while these columns go.
    """
    if isinstance(each, Trigger) and each.when:
        words = words_in(each) | set(each.columns)
        return bool(words & remade.get(Identity("table", each.schema, each.table), frozenset()))
    return _stands_on(each, remade)


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
