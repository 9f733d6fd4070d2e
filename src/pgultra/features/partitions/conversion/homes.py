"""
The partitions that a table's rows need: from the oldest row to the present and beyond.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.bounds import ListBound, RangeBound, parse_bound
from pgultra.features.partitions.children import Parent
from pgultra.features.partitions.ddl import _first_cells, make_child
from pgultra.features.partitions.names import child_name, free_name
from pgultra.plan.declare import application_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.rules import Rules

__all__ = ["MOST", "TAKEN", "Homes", "homes_of", "parent_of", "value_of"]

MOST = 2000
"""More partitions than this are taken for a mistake: one row with a strange date, mostly."""

EXTREME = (  # t.: a bare name would be the text, and '999' comes after '3000' there
    "SELECT t.{column}::text FROM {table} AS t WHERE t.{column} IS NOT NULL "
    "ORDER BY t.{column} {direction} LIMIT 1"
)
TAKEN = text(
    "SELECT c.relname::text FROM pg_catalog.pg_class AS c "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = CAST(:schema AS name)"
)
NOW = text("SELECT pg_catalog.now()")


@dataclasses.dataclass(frozen=True)
class Homes:
    """
    The partitions of the new table.

    Attributes:
        parent: the new table, as the makers of partitions know it.
        named: name and bound of each at the top.
        least, greatest: the extreme keys, as texts; None in an empty table.
    """

    parent: Parent
    named: tuple[tuple[str, Bound], ...]
    moment: datetime
    least: str | None = None
    greatest: str | None = None

    def statements(self) -> Iterator[str]:
        """
        What makes them.
        """
        for name, bound in self.named:
            yield from make_child(self.parent, name, bound, moment=self.moment)

    def tables(self) -> Iterator[tuple[str, Rules | None]]:
        """
        The new table and all partitions by name, with the rules of what lies below each.
        """
        yield self.parent.name, self.parent.rules
        for name, _ in self.named:
            yield from self._below(name, self.parent.rules.then)

    def _below(self, name: str, rules: Rules | None) -> Iterator[tuple[str, Rules | None]]:
        yield name, rules
        if rules is None:
            return
        grid = rules.grid(self.parent.table)
        cells = _first_cells(rules, grid, self.moment)
        for bound in (*cells, *rules.bounds_for(self.parent.table, name)):
            yield from self._below(child_name(name, bound, rules, grid), rules.then)

    def leaves(self) -> list[str]:
        """
        The tables that hold the rows, quoted.
        """
        schema = self.parent.schema
        return [sql.qualified(schema, name) for name, rules in self.tables() if rules is None]

    def nets(self) -> Iterator[tuple[str, str]]:
        """
        Each table that could have no partition for a row, and the one that catches it.
        """
        for name, rules in self.tables():
            if rules is not None and rules.strategy != "hash" and not getattr(rules, "default", 0):
                yield (
                    sql.qualified(self.parent.schema, name),
                    sql.qualified(self.parent.schema, sql.short_name(name, "partitions", "rest")),
                )


def homes_of(
    connection: Connection,
    design: Design,
    table: sa.Table,
    rules: Rules,
    own: Collection[str] = (),
) -> Homes:
    """
    Decide the partitions; reads the extremes of the key.

    Args:
        connection: within a transaction.
        design: what the new table shall be.
        table: the model's.
        rules: how it shall be partitioned.
        own: names that are taken, and given away by then.

    Raises:
        PgultraError: they would be too many, or a row has no place.
    """
    old = design.old
    column = rules.key_column(table).name
    typed = old.column(column)
    assert typed is not None  # an obstacle otherwise
    levels = _levels(connection, design, table, rules)
    parent = parent_of(design, table, levels)
    place = f"table {table.fullname}"
    least = greatest = None
    moment = connection.execute(NOW).scalar_one()
    bounds: list[Bound] = list(rules.bounds_for(table, place))
    grid = rules.grid(table)
    if grid is not None:
        least, greatest = _extremes(connection, old.table, column)
        first, last = (value_of(each, typed["type"]) for each in (least, greatest))
        if (least is not None and first is None) or (greatest is not None and last is None):
            raise PgultraError(
                f"{place}: the values of {column} go from {least} to {greatest}, for which there "
                "is no partition: correct these rows first"
            )
        current = last if grid.unit == "integer" else grid.value_at(moment)
        if current is None:
            current = 0
        first = min(current if first is None else first, current)
        last = max(current if last is None else last, current)
        bounds = [*_cells(grid, first, last, current, rules, place, (least, greatest)), *bounds]
    taken = set(connection.execute(TAKEN, {"schema": old.schema}).scalars()) - set(own)
    named = []
    for bound in bounds:
        name = free_name(child_name(old.name, bound, rules, grid), taken)
        taken.add(name)
        named.append((name, bound))
    return Homes(parent, tuple(named), moment, least, greatest)


def parent_of(design: Design, table: sa.Table, rules: Rules) -> Parent:
    """
    The new table, as the makers of partitions know it.
    """
    old = design.old
    return Parent(
        oid=None,
        schema=old.schema,
        name=design.names.new_name,
        strategy=rules.strategy,
        key_columns=(rules.key_column(table).name,),
        rules=rules,
        owner="" if old["is_me"] else old["owner"],
        tablespace=old["tablespace"],
        application=application_of(table.metadata),
        table=table,
    )


def _levels(
    connection: Connection, design: Design, table: sa.Table, rules: Rules, *, top: bool = True
) -> Rules:
    """
    The rules with the old table's storage parameters, and levels that begin where rows begin.
    """
    changes: dict[str, Any] = {}
    if rules.then is not None:
        changes["then"] = _levels(connection, design, table, rules.then, top=False)
    elif not rules.storage:
        changes["storage"] = dict(each.split("=", 1) for each in design.old["options"]) or None
    if not top and rules.grid(table) is not None:
        column = rules.key_column(table).name
        typed = design.old.column(column)
        assert typed is not None  # an obstacle otherwise
        least, _ = _extremes(connection, design.old.table, column)
        changes["start"] = value_of(least, typed["type"])
    return dataclasses.replace(rules, **changes)


def _cells(
    grid: Any,
    first: Any,
    last: Any,
    current: Any,
    rules: Any,
    place: str,
    extremes: tuple[str | None, str | None],
) -> list[RangeBound]:
    cells: list[RangeBound] = []
    for cell in grid.cells(first, last):
        cells.append(cell)
        if len(cells) > MOST:
            raise PgultraError(
                f"{place}: its rows go from {extremes[0]} to {extremes[1]}, which would be more "
                f"than {MOST} partitions of {rules.every}: correct the rows at the ends, or choose "
                "a longer every="
            )
    for cell in grid.ahead(last, current, rules.premake):
        if cell.lower is not None and (cells[-1].upper is None or cell.lower < cells[-1].upper):
            continue
        cells.append(cell)
    return cells


def _extremes(connection: Connection, table: str, column: str) -> tuple[str | None, str | None]:
    found = []
    for direction in ("ASC", "DESC"):
        question = EXTREME.format(table=table, column=sql.identifier(column), direction=direction)
        found.append(connection.execute(sql.statement(question)).scalar())
    return found[0], found[1]


def value_of(printed: str | None, type_: str) -> Any:
    """
    A key as Python has it; None for infinity and what is too far.
    """
    if printed is None:
        return None
    bound = parse_bound(f"FOR VALUES IN ({sql.literal(printed)})", type_)
    assert isinstance(bound, ListBound)
    return bound.values[0] if bound.values else None
