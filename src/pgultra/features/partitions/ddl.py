"""
The statements that make a partition, printable before they run.

A partition is made as a table of its own, with a CHECK that says what its bound will say, and
attached: the parent is locked with SHARE UPDATE EXCLUSIVE only, which lets readers and writers
go on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions import keys
from pgultra.features.partitions.conversion.privacy import guarded
from pgultra.features.partitions.names import child_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.children import Parent
    from pgultra.features.partitions.rules import Rules

__all__ = ["BOUND", "attach", "make_child"]

BOUND = "pgultra_bound"
"""The CHECK that stands in for the bound until the partition is attached."""

_STATES = {"D": "DISABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


def make_child(
    parent: Parent,
    name: str,
    bound: Bound,
    rules: Rules | None = None,
    *,
    of: str | None = None,
    schema: str | None = None,
    attached: bool = True,
    moment: datetime | None = None,
    level: int = 0,
) -> tuple[str, ...]:
    """
    The statements that make one partition, those of its own levels included.

    They belong into one transaction. Foreign keys, row triggers and identity columns are what
    PostgreSQL hands on with ATTACH; statement triggers, owner, tablespace and storage parameters
    are taken along here. Who names the partition may do no more than with its parent.

    Args:
        parent: the table at the top.
        name: of the partition.
        bound: what it takes.
        rules: of the level that it belongs to; those of the table at the top if left out.
        of: the table that it is attached to, as SQL; the one at the top if left out.
        schema: where it shall lie; beside the table at the top if left out.
        attached: False leaves it a table of its own, with the CHECK.
        moment: what counts as the present where a level below is one of time.
        level: how far below the top; each level's CHECK bears another name.
    """
    rules = rules or parent.rules
    above = of or parent.spelt
    child = sql.qualified(schema or parent.schema, name)
    column = rules.key_column(parent.table).name
    check = bound.check(sql.identifier(column))
    bound_name = f"{BOUND}_{level}" if level else BOUND
    like = f"LIKE {above} INCLUDING ALL EXCLUDING IDENTITY"
    held = f", CONSTRAINT {bound_name} CHECK ({check})" if check else ""
    below = rules.then
    tail = ""
    if below is not None:
        below_column = below.key_column(parent.table).name
        tail = f" PARTITION BY {keys.clause_of(below.strategy, [below_column])}"
    elif rules.storage:
        parameters = ", ".join(
            f"{sql.identifier(str(key))} = {sql.literal(str(value))}"
            for key, value in sorted(rules.storage.items())
        )
        tail = f" WITH ({parameters})"
    if parent.tablespace is not None:
        tail += f" TABLESPACE {sql.identifier(parent.tablespace)}"
    statements = [f"CREATE TABLE {child} ({like}{held}){tail}"]
    if parent.owner:
        statements.append(f"ALTER TABLE {child} OWNER TO {sql.identifier(parent.owner)}")
    statements.append(guarded(child, above))
    statements.append(f"COMMENT ON TABLE {child} IS {sql.literal(parent.mark)}")
    statements += _triggers(parent, child)
    if below is not None:
        grid = below.grid(parent.table)
        for each in (*_first_cells(below, grid, moment), *below.bounds_for(parent.table, name)):
            sub = child_name(name, each, below, grid)
            statements += make_child(
                parent, sub, each, below, of=child, schema=schema, moment=moment, level=level + 1
            )
    if attached:
        statements += attach(above, child, bound, checked=bool(check), name=bound_name)
    return tuple(statements)


def attach(
    parent: str, child: str, bound: Bound, *, checked: bool = True, name: str = BOUND
) -> tuple[str, ...]:
    """
    The statements that attach a table which holds the CHECK of its bound.

    Args:
        parent: as SQL.
        child: as SQL.
        bound: what the table takes.
        checked: whether there is a CHECK that is not needed any more.
        name: of that CHECK.
    """
    statements = [f"ALTER TABLE {parent} ATTACH PARTITION {child} {bound.render()}"]
    if checked:
        statements.append(f"ALTER TABLE {child} DROP CONSTRAINT {name}")
    return tuple(statements)


def _first_cells(rules: Any, grid: Grid | None, moment: datetime | None) -> Iterator[Bound]:
    """
    What premake would make of a level without partitions.
    """
    if grid is None:
        return
    if grid.unit == "integer":
        present = rules.start or 0
    else:
        present = grid.value_at(moment or datetime.now(UTC))
    first = present if rules.start is None else grid.key(rules.start)
    yield from grid.ahead(min(first, present), present, rules.premake)


def _triggers(parent: Parent, child: str) -> Iterator[str]:
    """
    The parent's statement triggers: PostgreSQL fires them for what is sent to the parent only.
    """
    for name, state, definition in parent.triggers:
        place = f" ON {parent.printed} "
        at = definition.find(place)
        yield f"{definition[:at]} ON {child} {definition[at + len(place) :]}"
        if state in _STATES:
            yield f"ALTER TABLE {child} {_STATES[state]} TRIGGER {sql.identifier(name)}"
