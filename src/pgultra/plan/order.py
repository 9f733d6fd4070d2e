"""
One order for everything: steps and table operations, sorted by what needs what.

Acts that nothing ties keep a natural order: first what is dropped from the tables, then
what tables may need, then the tables, then what stands on them, last the drops of what
tables may have needed.
"""

from __future__ import annotations

import dataclasses
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgultra.objects import KINDS, Function, Generation, Identity, Index, Phase, Schema
from pgultra.plan.words import words_at_run_time, words_checked, words_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgultra.objects import DatabaseObject
    from pgultra.plan.compare import Step

__all__ = ["Act", "acts_of", "ordered"]

FIRST, BEFORE, TABLES, AFTER, LAST = range(5)


@dataclass(eq=False)
class Act:
    """
    Something that is done at one moment: half a step, a step, or a table operation.

    Attributes:
        item: what is done.
        rank: its place when nothing ties it.
        makes: what exists afterwards.
        unmakes: what is gone afterwards.
        needs: what must exist when it is done.
        frees: what may be unmade or altered after it, and not before.
        alters: tables that it changes in place.
        mentions: words in its text, for order only where nothing contradicts.
        forgets: words that were in its text before it was changed in place.
        calls: words in a text that is read when it runs; they count last.
    """

    item: Any
    rank: int
    makes: frozenset[Identity] = frozenset()
    unmakes: frozenset[Identity] = frozenset()
    needs: frozenset[Identity] = frozenset()
    frees: frozenset[Identity] = frozenset()
    alters: frozenset[Identity] = frozenset()
    mentions: frozenset[str] = frozenset()
    forgets: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    after: list[Act] = field(default_factory=list)


def acts_of(step: Step, default_schema: str | None = None) -> list[Act]:
    """
    A step as acts: one, or a drop and a create where others must come between.

    A function is made after the tables: PostgreSQL looks at the tables and types that its
    signature, an SQL body and declared variables name. What a table calls comes before it.
    """
    if step.before is not None and step.after is not None:
        if _stops_to_be_generated(step):
            return [_released(step, default_schema)]
        if not step.in_place and not _stops_to_be_generated(step.reverse()):
            return [act for half in step.halves() for act in acts_of(half, default_schema)]
    subject = step.subject
    own = frozenset({_plain(subject.identity, default_schema)})
    needs = frozenset(_plain(need, default_schema) for need in _needs(subject))
    early = subject.phase is Phase.BEFORE_TABLES
    words = words_in(subject)
    if step.after is None:
        if isinstance(subject, Function) and subject.language.lower() == "sql":
            early = False  # the downgrade makes it again, after the tables
        return [Act(step, LAST if early else FIRST, unmakes=own, frees=needs, mentions=words)]
    early = early and not isinstance(subject, Function)
    act = Act(step, BEFORE if early else AFTER, makes=own, needs=needs, mentions=words)
    if isinstance(subject, Function):
        act.calls = words_at_run_time(subject)
    if step.before is not None:
        act.forgets = words_in(step.before) - words
        act.frees = frozenset(_plain(n, default_schema) for n in _needs(step.before)) - needs
    return [act]


def _stops_to_be_generated(step: Step) -> bool:
    """
    Whether a column keeps what it holds; so a step whose reverse does is no drop and create.
    """
    return isinstance(step.before, Generation) and step.in_place


def _released(step: Step, default_schema: str | None) -> Act:
    """
    The columns that it was generated from are altered or dropped after that.
    """
    assert step.before is not None
    freed = frozenset(_plain(need, default_schema) for need in _needs(step.before))
    return Act(step, FIRST, frees=freed, mentions=words_in(step.before))


def _needs(subject: DatabaseObject) -> Iterable[Identity]:
    yield from subject.requires
    if subject.schema is not None:
        yield Schema(name=subject.schema).identity


def _plain(identity: Identity, default_schema: str | None) -> Identity:
    """
    One spelling for one thing; a view counts as a table.
    """
    kind = "table" if identity.kind in ("view", "materialized view") else identity.kind
    schema = None if identity.schema == default_schema else identity.schema
    return Identity(kind, schema, identity.name, identity.table)


def ordered(acts: Sequence[Act]) -> list[Act]:
    """
    Sort by dependency, stable by rank, kind and place.
    """
    before: dict[Act, set[Act]] = {act: set(act.after) for act in acts}
    makers: dict[Identity, list[Act]] = {}
    unmakers: dict[Identity, list[Act]] = {}
    alterers: dict[Identity, list[Act]] = {}
    for act in acts:
        for table, register in (
            (act.makes, makers),
            (act.unmakes, unmakers),
            (act.alters, alterers),
        ):
            for identity in table:
                register.setdefault(identity, []).append(act)
    for act in acts:
        for need in act.needs:
            before[act].update(m for m in makers.get(need, ()) if m is not act)
            before[act].update(m for m in alterers.get(need, ()) if m is not act)
        for freed in act.frees:
            for other in (*unmakers.get(freed, ()), *alterers.get(freed, ())):
                if other is not act:
                    before[other].add(act)
        for made in act.makes:  # a name is free before it is taken again
            before[act].update(m for m in unmakers.get(made, ()) if m is not act)
    _add_hints(acts, before, makers, unmakers)
    result = _sorted(acts, before)
    _leave_unchecked(result)
    return result


def _add_hints(
    acts: Sequence[Act],
    before: dict[Act, set[Act]],
    makers: dict[Identity, list[Act]],
    unmakers: dict[Identity, list[Act]],
) -> None:
    """
    What a text names is made before it and unmade after it, tables' own expressions first.

    What takes a name that another one gives up waits for that: an old overload must not be
    found by what is made for the new one. A table's expressions can call functions, and
    nothing else that could be called as their words are.
    """
    everything = _by_name(makers, "table", "function"), _by_name(unmakers, "table", "function")
    functions = _by_name(makers, "function"), _by_name(unmakers, "function")
    for act in sorted(acts, key=lambda act: act.rank != TABLES):
        made, unmade = functions if act.rank == TABLES else everything
        for word in act.mentions & made.keys() if not act.unmakes else ():
            for maker in made[word]:
                if maker is not act and not _reaches(maker, act, before):
                    before[act].add(maker)
        for word in (act.forgets | (frozenset() if act.makes else act.mentions)) & unmade.keys():
            for unmaker in unmade[word]:
                if unmaker is not act and not _reaches(act, unmaker, before):
                    before[unmaker].add(act)
        for word in act.mentions & unmade.keys() if act.makes else ():
            for unmaker in unmade[word]:
                if unmaker is not act and not _reaches(unmaker, act, before):
                    before[act].add(unmaker)
    _add_calls(acts, before, functions[0])


def _add_calls(
    acts: Sequence[Act], before: dict[Act, set[Act]], functions: dict[str, list[Act]]
) -> None:
    """
    What a body calls when it runs comes before it: a column's default may run at once.
    """
    for act in acts:
        for word in act.calls & functions.keys():
            for maker in functions[word]:
                if maker is not act and not _reaches(maker, act, before):
                    before[act].add(maker)


def _leave_unchecked(acts: Sequence[Act]) -> None:
    """
    Let functions be made unchecked whose text names what is not there at that moment.

    On the way: a table that stands on the function, and so comes later. On the way back: a
    table, or a column of one, that comes back later, since it went earlier.
    """
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    for place, act in enumerate(acts):
        last |= dict.fromkeys(_names(act.makes | act.alters), place)
        for name in _names(act.unmakes | act.alters):
            first.setdefault(name, place)
    for place, act in enumerate(acts):
        step = act.item
        new, old = (getattr(step, side, None) for side in ("after", "before"))
        if isinstance(new, Function) and any(
            last.get(word, -1) > place for word in words_checked(new)
        ):
            act.item = step = dataclasses.replace(step, after=new.but(unchecked=True))
        if isinstance(old, Function) and any(
            first.get(word, place) < place for word in words_checked(old)
        ):
            act.item = dataclasses.replace(step, before=old.but(unchecked=True))


def _names(identities: Iterable[Identity]) -> Iterable[str]:
    named = (each for each in identities if each.kind in ("table", "function"))
    return (name for identity in named for name in identity.bare_names())


def _by_name(acts: dict[Identity, list[Act]], *kinds: str) -> dict[str, list[Act]]:
    by_name: dict[str, list[Act]] = {}
    for identity, found in acts.items():
        if identity.kind in kinds:
            for name in identity.bare_names():
                by_name.setdefault(name, []).extend(found)
    return by_name


def _reaches(start: Act, goal: Act, before: dict[Act, set[Act]]) -> bool:
    """
    Whether ``goal`` must come before ``start`` already.
    """
    seen, waiting = {start}, [start]
    while waiting:
        act = waiting.pop()
        if act is goal:
            return True
        fresh = before[act] - seen
        seen |= fresh
        waiting.extend(fresh)
    return False


def _sorted(acts: Sequence[Act], before: dict[Act, set[Act]]) -> list[Act]:
    place = {act: number for number, act in enumerate(acts)}
    followers: dict[Act, list[Act]] = {act: [] for act in acts}
    missing = {act: len(before[act]) for act in acts}
    for act, earlier in before.items():
        for other in earlier:
            followers[other].append(act)
    ready = [(*_rank(act), place[act]) for act in acts if not missing[act]]
    heapq.heapify(ready)
    result: list[Act] = []
    while ready:
        act = acts[heapq.heappop(ready)[-1]]
        result.append(act)
        for follower in followers[act]:
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready, (*_rank(follower), place[follower]))
    if len(result) < len(acts):  # a circle: keep the given order for what is in it
        done = set(result)
        result += [act for act in acts if act not in done]
    return result


def _rank(act: Act) -> tuple[int, int]:
    subject = getattr(act.item, "subject", None)
    if subject is None:
        return act.rank, 0
    kinds = [kind.kind for kind in KINDS]
    kind = kinds.index(subject.kind) if subject.kind in kinds else len(kinds)
    if isinstance(subject, Index) and subject.concurrently and act.rank in (FIRST, AFTER):
        kind = len(kinds)  # it commits what came before: not without triggers that keep a column
    return act.rank, -kind if act.rank in (FIRST, LAST) else kind
