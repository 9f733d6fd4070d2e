"""
A Plan for readers: text for people, plain values for programs.

Both sides are shown as the SQL that makes the object, in PostgreSQL's own spelling where
that was asked for, so that a difference is a difference and not a matter of layout.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra.objects import Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.objects import DatabaseObject, Identity
    from pgultra.plan.compare import Plan, Step

__all__ = ["Change", "as_json", "as_text", "changes", "strangers"]

WIDTH = 88
"""Longer lines of SQL are broken, for reading only."""
_CLAUSE = re.compile(
    r" (?=(?:BEFORE|AFTER|INSTEAD OF|REFERENCING|FOR EACH|WHEN|EXECUTE FUNCTION)\b)"
)
_COMMA = re.compile(r'(?<=,) ?(?=["{\[\w])')

WORDS = {
    "create": "missing",
    "drop": "not declared",
    "replace": "changed",
    "rebuild": "rebuilt with what it stands on",
    "mark": "unmarked",
    "unmark": "declared without pgultra",
}


@dataclass(frozen=True)
class Change:
    """
    What a plan does to one object: one step, or a drop and a create that belong together.

    Attributes:
        verb: ``create``, ``drop``, ``replace``, ``rebuild``, ``mark`` or ``unmark``.
        identity: whose change it is.
        room: the room that declared the object.
        before: what is there, None if nothing is.
        after: what shall be there, None if nothing shall.
        statements: the SQL that makes the change.
        advice: what is left to do for rows that are there already.
    """

    verb: str
    identity: Identity
    room: str
    before: DatabaseObject | None
    after: DatabaseObject | None
    statements: tuple[str, ...]
    advice: str | None = None

    def __str__(self) -> str:
        return f"{WORDS[self.verb]}: {self.identity} ({self.room})"

    def diff(self, limit: int | None = None) -> list[str]:
        """
        The lines of a unified diff, from the database to the models; none for a mark.

        Args:
            limit: cut an object that is wholly missing, or wholly too much, after so many.
        """
        if self.verb == "mark":
            return []
        before, after = sql_lines(self.before), sql_lines(self.after)
        if before == after:  # nothing but the room in the mark, or what stands on it
            return []
        if not before or not after:
            sign, lines = ("+", after) if after else ("-", before)
            cut = len(lines) if limit is None or len(lines) <= limit + 2 else limit
            rest = [f"  … {len(lines) - cut} more lines"] if cut < len(lines) else []
            return [*(sign + line for line in lines[:cut]), *rest]
        context = 1 if isinstance(self.after, Trigger) else 2  # a line is a whole clause there
        return list(
            difflib.unified_diff(before, after, "database", "models", n=context, lineterm="")
        )


def changes(plan: Plan) -> tuple[Change, ...]:
    """
    The steps of a plan, one change for each object, in the plan's order.
    """
    steps: dict[Identity, list[Step]] = {}
    for step in plan.steps:
        steps.setdefault(step.identity, []).append(step)
    return tuple(_change(plan, identity, found) for identity, found in steps.items())


def _change(plan: Plan, identity: Identity, steps: list[Step]) -> Change:
    before = next((step.before for step in steps if step.before), None)
    after = next((step.after for step in reversed(steps) if step.after), None)
    if plan.sides is not None and after is not None:
        after = plan.sides.desired.get(identity, after)
    verb = steps[0].verb
    if len(steps) > 1:
        same = before is not None and after is not None and after.same_as(before)
        verb = "rebuild" if same else "replace"
    statements = tuple(text for step in steps for text in step.statements())
    advice = next((step.advice for step in steps if step.advice), None)
    return Change(verb, identity, steps[-1].room, before, after, statements, advice)


def strangers(plan: Plan) -> tuple[Change, ...]:
    """
    What stands in the way and is not ours, beside what the models declare.
    """
    if plan.sides is None:
        return ()
    found = []
    for identity, after in plan.sides.desired.items():
        before = plan.sides.actual.get(identity)
        if before is not None and not after.same_as(before):
            foreign = before.mark is None or (
                after.mark is not None and before.mark.application != after.mark.application
            )
            if foreign:
                room = after.mark.room if after.mark else "unmarked"
                found.append(Change("replace", identity, room, before, after, ()))
    return tuple(found)


def as_text(plan: Plan, *, limit: int | None = 8) -> str:
    """
    A plan as a reader wants it: what differs, a diff for each object, what is in the way.

    Args:
        plan: from ``check``.
        limit: show so many lines of an object that is wholly missing; None shows all.
    """
    return "\n".join(_lines(plan, limit))


def _lines(plan: Plan, limit: int | None) -> Iterator[str]:
    for number, change in enumerate(changes(plan)):
        if number:
            yield ""
        yield str(change)
        yield from _indented(change, limit)
    if plan.conflicts:
        if plan.steps:
            yield ""
        yield "in the way, and not made by pgultra:"
        diffs = {change.identity: change for change in strangers(plan)}
        for conflict in plan.conflicts:
            yield f"  {conflict}"
            stranger = diffs.get(conflict.identity)
            if stranger is not None:
                yield from _indented(stranger, limit)
    if not plan:
        yield "no drift"
    if plan.weaker:
        yield ""
        yield weaker_note(plan)


def _indented(change: Change, limit: int | None) -> list[str]:
    lines = [*change.diff(limit), *(change.advice or "").splitlines()]
    return [f"    {line}".rstrip() for line in lines]


def weaker_note(plan: Plan) -> str:
    """
    The sentence about answers that could not be checked as well as usual.
    """
    count = len(plan.weaker)
    what = "1 object" if count == 1 else f"{count} objects"
    return (
        f"weaker answer for {what}: this connection may not make temporary objects (a replica, "
        "or a role without TEMPORARY), so they were judged by the fingerprint beside their "
        "mark; a change by hand is not seen there"
    )


def as_json(plan: Plan) -> dict[str, Any]:
    """
    A plan as values that ``json.dumps`` takes.
    """
    diffs = {stranger.identity: stranger.diff() for stranger in strangers(plan)}
    return {
        "drift": bool(plan),
        "steps": [
            {
                "verb": change.verb,
                **_named(change.identity),
                "room": change.room,
                "diff": change.diff(),
                "statements": list(change.statements),
                "advice": change.advice,
            }
            for change in changes(plan)
        ],
        "conflicts": [
            {
                **_named(conflict.identity),
                "reason": conflict,
                "diff": diffs.get(conflict.identity, []),
            }
            for conflict in plan.conflicts
        ],
        "weaker": [_named(identity) for identity in plan.weaker],
    }


def _named(identity: Identity) -> dict[str, str | None]:
    return {
        "kind": identity.kind,
        "schema": identity.schema,
        "table": identity.table,
        "name": identity.name,
    }


def sql_lines(subject: DatabaseObject | None) -> list[str]:
    """
    The SQL that makes an object, without comment and mark, in lines that can be read.
    """
    if subject is None:
        return []
    lines: list[str] = []
    for text in _bare(subject).create():
        for line in f"{text};".splitlines():
            lines += _broken(line, clauses=isinstance(subject, Trigger))
    return lines


def _bare(subject: DatabaseObject) -> DatabaseObject:
    """
    Only what is compared: no mark, no comment, no grants.
    """
    plain: dict[str, Any] = {
        entry.name: entry.default
        for entry in dataclasses.fields(subject)
        if entry.name == "mark" or (not entry.compare and entry.default is not dataclasses.MISSING)
    }
    return dataclasses.replace(subject, **plain)


def _broken(line: str, *, clauses: bool) -> list[str]:
    """
    A trigger at its clauses; what is still too long at its commas, but for a comment's.
    """
    if not clauses and (len(line) <= WIDTH or "--" in line):  # its rest would be SQL
        return [line.rstrip()]
    pieces = _CLAUSE.split(line) if clauses else [line]
    result: list[str] = []
    for piece in pieces:
        parts = _COMMA.split(piece) if len(piece) > WIDTH else [piece]
        indent = "    " if result else ""
        result += [indent + parts[0], *("        " + part for part in parts[1:])]
    return [part.rstrip() for part in result]
