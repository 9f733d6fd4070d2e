"""
What a conversion would do: every statement with its lock, and nothing done.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.features.partitions.conversion import build, exchange
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.attach import unique_indexes
from pgultra.features.partitions.conversion.drift import drifted, taken_back
from pgultra.features.partitions.conversion.latch import view_locks
from pgultra.features.partitions.conversion.materialized import planned_views, view_notes
from pgultra.features.partitions.conversion.references import foreign_keys
from pgultra.features.partitions.conversion.ties import validations
from pgultra.features.partitions.conversion.widening import checking, sealing, widening
from pgultra.objects import Function, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.partitions.conversion.attach import Attachment
    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.run import Conversion

__all__ = ["ConversionPlan", "planned", "planned_attachment"]


@dataclass(frozen=True)
class ConversionPlan:
    """
    The steps of a conversion, and of its two possible ends.

    Attributes:
        table: its name.
        steps: what ``convert`` does.
        undo, finish: what ``undo_conversion`` and ``finish_conversion`` do.
        notes: what will not be as it was.
    """

    table: str
    steps: tuple[Step, ...]
    undo: tuple[Step, ...] = ()
    finish: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    def statements(self) -> tuple[str, ...]:
        """
        All statements of ``convert``.
        """
        return tuple(act.text for step in self.steps for act in step.acts)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """
        The plan as a script, with the lock of each statement above it.
        """
        yield f"-- {self.table}: convert"
        yield from (f"-- note: {note}" for note in self.notes)
        for title, steps in (
            ("", self.steps),
            ("to give the name back (undo)", self.undo),
            ("for good (finish)", self.finish),
        ):
            if title and steps:
                yield f"\n-- {title}"
            for step in steps:
                yield ""
                yield from step.lines()


def planned(work: Conversion) -> ConversionPlan:
    """
    The plan of a conversion with a copy.

    Raises:
        PgultraError: something stands in the way; all of it is said.
    """
    design, homes = work.prepared()
    undone = [Act(text) for each in design.widened for text in each.undone(design)]
    route, names, old = design.route(), design.names, design.old
    nets, leaves = list(homes.nets()), homes.leaves()
    settled, beside = _settled(work, design, leaves)
    first = build.build(design, homes)
    journal = tuple(Act(text) for text in work.journal.creation())
    before_now = [(old.schema, name) for name, rules in homes.tables() if rules is None]
    constrained = [
        Act(text) for each in foreign_keys(design, before_now) for text in each.statements
    ]
    return ConversionPlan(
        work.table.fullname,
        (
            *widening(design, itself=True),
            Step(first.name, first.what, journal + first.acts, notes=first.notes),
            build.mirror(design),
            Step(
                "copy",
                "page by page in the order of the key; this is the first page's statement",
                (Act(route.copy(None, None, empty=True)),),
                how="pages",
                notes=("rows that somebody is writing are left to the triggers and to `compare`",),
            ),
            Step(
                "compare",
                "range by range, until both sides are the same; this is the first range's",
                (Act(route.compare(None, None)), Act(f"ANALYZE {names.new}")),
                how="pages",
            ),
            Step("constrain", "foreign keys, partition by partition", tuple(constrained), "each"),
            *widening(design),
            _latched(work, design, exchange.exchange(design, old, nets, leaves)),
            settled,
        ),
        undo=(
            _latched(work, design, exchange.give_back(design, old, old)),
            *_turned_back(work),
            Step(
                "check",
                "foreign keys to the table, which hold already",
                tuple(map(Act, validations(design, back=True))),
                "each",
            ),
            Step(
                "untie",
                "nothing ties the new table any more",
                (*exchange.untie_new(design, mirrored=False), *undone),
            ),
            Step("clean_up", "the new table goes", (*exchange.clean_up(design), *beside)),
        ),
        finish=(
            *checking(design),
            exchange.untie_old(design),
            *sealing(design),
            exchange.finish(design),
        ),
        notes=(*design.notes, *view_notes(work.views)),
    )


def planned_attachment(work: Attachment) -> ConversionPlan:
    """
    The plan of a conversion without a copy.

    Raises:
        PgultraError: something stands in the way; all of it is said.
    """
    design, homes = work.prepared()
    work.entry = work.opened(design, homes)
    indexes = tuple(Act(text) for _, text in unique_indexes(design))
    child = sql.qualified(design.names.schema, work.entry.state["child"])
    return ConversionPlan(
        work.table.fullname,
        (
            *widening(design, itself=True),
            work.building(design, homes),
            Step("index", "unique indexes with the partition key", indexes, "none"),
            *widening(design),
            Step(
                "check",
                f"all rows are {work.first}; others are refused from here on",
                tuple(map(Act, work.checking(design))),
                "each",
            ),
            _latched(work, design, work.exchanging(design, design.old, homes.leaves())),
            _settled(work, design, [*homes.leaves(), child])[0],
        ),
        finish=(*checking(design), *sealing(design)),
        notes=(
            *design.notes,
            *view_notes(work.views),
            "once the names are exchanged, there is no way back",
        ),
    )


def _latched(work: Conversion, design: Design, step: Step) -> Step:
    """
    A step with the locks of views before its own.
    """
    with work.patience.transaction() as connection:
        locks = view_locks(connection, design.old.oid)
    return dataclasses.replace(step, acts=(*map(Act, locks), *step.acts))


def _settled(work: Conversion, design: Design, leaves: list[str]) -> tuple[Step, tuple[Act, ...]]:
    with work.connection.begin():
        steps = drifted(work.connection, work.table, work.rules, work.home, insist=False)
    beside = [
        Act(text)
        for step in steps
        if isinstance(step.subject, Function | Trigger)
        for text in step.statements()
    ]
    step = Step(
        "settle",
        "checks what holds already, makes materialized views again, and what the room has beside",
        (
            *(Act(text) for text in validations(design, leaves)),
            *planned_views(work.views),
            *beside,
        ),
        "each",
    )
    return step, tuple(map(Act, taken_back(steps, work.schema)))


def _turned_back(work: Conversion) -> Iterator[Step]:
    if work.views:
        what = "materialized views are made again for the old table"
        yield Step("turn", what, tuple(planned_views(work.views)), "each")
