"""
Two States to a Plan; a Step and its reverse. Pure: no connection is needed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pgultra.errors import ConflictingObjects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pgultra.objects import DatabaseObject, Identity
    from pgultra.plan.canonical import Comparable
    from pgultra.plan.state import State

__all__ = ["Conflict", "Plan", "Step", "compare"]


class Conflict(str):
    """
    A sentence on something that stands in the way and is not ours.

    Attributes:
        subject: the object of ours that cannot be made, changed or dropped because of it.
        identity: what stands in the way.
        refused: whether it is ours, and cannot be changed into what is declared.
    """

    __slots__ = ("identity", "refused", "subject")

    identity: Identity
    subject: DatabaseObject
    refused: bool

    @classmethod
    def of(
        cls, identity: Identity, subject: DatabaseObject, reason: str, *, refused: bool = False
    ) -> Self:
        """
        Compose the sentence.
        """
        conflict = cls(f"{identity}: {reason}")
        conflict.identity, conflict.subject, conflict.refused = identity, subject, refused
        return conflict


@dataclass(frozen=True, slots=True)
class Step:
    """
    One change of one object.

    Attributes:
        before: what is there; None: it is made.
        after: what shall be there; None: it is dropped.
        apart: drop and make it anew, with what must change between the two in between.
    """

    before: DatabaseObject | None
    after: DatabaseObject | None
    apart: bool = False

    @property
    def subject(self) -> DatabaseObject:
        """
        The object that the step is about.
        """
        subject = self.after or self.before
        assert subject is not None  # a step of nothing is never made
        return subject

    @property
    def identity(self) -> Identity:
        """
        Whose step it is.
        """
        return self.subject.identity

    @property
    def room(self) -> str:
        """
        The room that declared it.
        """
        mark = self.subject.mark or (self.before.mark if self.before else None)
        return mark.room if mark else "unmarked"

    @property
    def verb(self) -> str:
        """
        ``create``, ``drop``, ``replace``, ``rebuild``, ``mark`` or ``unmark``.
        """
        if self.before is None:
            return "create"
        if self.after is None:
            return "drop"
        if self.only_marks:
            return "mark" if self.after.mark is not None else "unmark"
        return "rebuild" if self.apart and self.after.same_as(self.before) else "replace"

    @property
    def only_marks(self) -> bool:
        """
        Whether nothing but the ownership mark changes.
        """
        return (
            self.before is not None
            and self.after is not None
            and not self.apart
            and (self.before.mark is None or self.after.mark is None)
        )

    @property
    def in_place(self) -> bool:
        """
        Whether what stands on the object can stay while it changes.
        """
        if self.before is None or self.after is None or self.apart:
            return False
        return self.only_marks or self.after.in_place(self.before)

    @property
    def advice(self) -> str | None:
        """
        What is left to do when it is done, if its table has rows; the way back of a change too.
        """
        sides = (self.after, self.before) if self.after is not None else ()
        return next((side.advice.text for side in sides if side and side.advice), None)

    def reverse(self) -> Step:
        """
        The step that takes this one back.
        """
        return Step(before=self.after, after=self.before, apart=self.apart)

    def statements(self) -> tuple[str, ...]:
        """
        The SQL, in order.
        """
        if self.before is None:
            return self.subject.create()
        if self.after is None:
            return self.before.drop()
        if self.only_marks:
            comment = self.after.comment or self.before.comment
            return dataclasses.replace(self.after, comment=comment).remark()
        if self.apart:
            return tuple(text for half in self.halves() for text in half.statements())
        return self.after.replace(self.before)

    def halves(self) -> tuple[Step, Step]:
        """
        A replacement as a drop and a create, so that other steps can stand between.
        """
        assert self.before is not None and self.after is not None  # noqa: PT018  # one fact
        after = self.after
        heir = getattr(after, "heir_of", None)
        if heir is not None:
            after = heir(self.before)
        return Step(self.before, None), Step(None, after)

    def __str__(self) -> str:
        return f"{self.verb} {self.identity}"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Ordered steps; an empty plan is "no drift".

    Attributes:
        steps: what to do, in an order that runs.
        conflicts: what stands in the way and is not ours; a door refuses if there is any.
        weaker: what could only be judged by its fingerprint (a replica).
        sides: what was compared, in PostgreSQL's spelling; for those who describe the plan.
    """

    steps: tuple[Step, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    weaker: tuple[Identity, ...] = ()
    sides: Comparable | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __bool__(self) -> bool:
        return bool(self.steps or self.conflicts)

    def reverse(self) -> Plan:
        """
        The plan that takes this one back.
        """
        return Plan(tuple(step.reverse() for step in reversed(self.steps)))

    def statements(self) -> tuple[str, ...]:
        """
        All SQL, in order.
        """
        return tuple(statement for step in self.steps for statement in step.statements())

    def insist(self) -> Plan:
        """
        This plan, if nothing stands in its way.

        Raises:
            ConflictingObjects: something does.
        """
        if self.conflicts:
            raise ConflictingObjects(self.conflicts)
        return self


def compare(
    desired: State,
    actual: State,
    originals: Mapping[Identity, DatabaseObject] | None = None,
) -> Plan:
    """
    What must change to turn ``actual`` into ``desired``.

    Args:
        desired: in canonical form.
        actual: as read.
        originals: what the steps shall make instead of the canonical forms: the text that
            the models declared.

    Returns:
        a plan in the order of ``desired``, drops first; not yet sorted by dependency.
    """
    originals = originals or {}
    steps: list[Step] = []
    conflicts: list[Conflict] = []
    for identity, old in reversed(list(actual.items())):
        if identity not in desired and old.mark is not None and old.dropped:
            steps.append(Step(old, None))
    for identity, new in desired.items():
        made = originals.get(identity, new)
        existing = actual.get(identity)
        if existing is None:
            if not new.later:
                steps.append(Step(None, made))
            continue
        if new.mark is None:
            steps += _handed_back(new, existing, made)
            continue
        same = new.same_as(existing)
        reason = _foreign(new, existing, same=same)
        if reason is not None:
            conflicts.append(Conflict.of(identity, made, reason))
        elif existing.mark is None:
            if new.remark():
                steps.append(Step(existing, made))
        elif not same or existing.mark.room != new.mark.room:
            why_not = _refusal(new, existing)
            if why_not is not None:
                conflicts.append(Conflict.of(identity, made, why_not, refused=True))
            else:
                steps.append(Step(existing, made if same or not new.later else None))
    return Plan(tuple(steps), tuple(conflicts))


def _foreign(new: DatabaseObject, existing: DatabaseObject, *, same: bool) -> str | None:
    """
    Why what exists is not ours to change.
    """
    if existing.mark is None:
        fields = ", ".join(new.differing(existing))
        return None if same else f"it bears no mark of pgultra, and differs in {fields}"
    one, other = existing.mark.application, new.mark and new.mark.application
    return None if one == other else f"it belongs to the application {one!r}, not to {other!r}"


def _refusal(new: DatabaseObject, existing: DatabaseObject) -> str | None:
    refusal = getattr(new, "refusal", None)
    return refusal(existing) if refusal is not None else None


def _handed_back(
    new: DatabaseObject, existing: DatabaseObject, made: DatabaseObject
) -> Iterator[Step]:
    """
    What the models declare without pgultra loses its mark, and is made anew if it differs.
    """
    if existing.mark is not None:
        yield Step(existing, made, apart=not new.same_as(existing))
