"""
Generated columns that every update computes anew, because of a trigger that nobody declared.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.errors import PgultraWarning
from pgultra.objects.generation import Generation
from pgultra.objects.trigger import Trigger

if TYPE_CHECKING:
    from pgultra.objects import DatabaseObject
    from pgultra.plan.canonical import Comparable

__all__ = ["warn_of_recomputing"]


def warn_of_recomputing(sides: Comparable) -> None:
    """
    Say so where a table with a generated column has a BEFORE UPDATE row trigger.

    Any such trigger makes PostgreSQL compute all generated columns of the table on each
    update, whatever was changed. Declared triggers are known when a room chooses between a
    generated column and triggers of its own; this finds the others.

    Warns:
        PgultraWarning: there is one, with the ways out.
    """
    generated = [each for each in sides.actual.values() if isinstance(each, Generation)]
    if not generated:
        return
    tables: dict[str, tuple[tuple[str, ...], list[str]]] = {}
    going = {
        (each.schema, each.table, each.name)
        for identity, each in sides.actual.items()
        if isinstance(each, Trigger) and not _recomputes(sides.desired.get(identity))
    }
    for each in generated:
        if not getattr(sides.desired.get(each.identity), "expression", None):
            continue
        stay = tuple(t for t in each.triggers if (each.schema, each.table, t) not in going)
        if stay:
            table = sql.qualified(each.schema, each.table)
            tables.setdefault(table, (stay, []))[1].append(each.name)
    for table, (triggers, columns) in tables.items():
        warnings.warn(
            f"{table} has BEFORE UPDATE row triggers "
            f"({', '.join(triggers)}), so PostgreSQL computes the generated "
            f"{', '.join(sorted(columns))} anew on every update, also when its parts stay the "
            "same. Declare the triggers with pgultra.Trigger, or say mode='trigger', so that it "
            "is kept by triggers; or make them AFTER triggers",
            PgultraWarning,
            stacklevel=3,
        )


def _recomputes(trigger: DatabaseObject | None) -> bool:
    """
    Whether it will be a row trigger before updates; None will be nothing.
    """
    return (
        isinstance(trigger, Trigger)
        and (trigger.timing, trigger.level) == ("BEFORE", "ROW")
        and "UPDATE" in trigger.events
    )
