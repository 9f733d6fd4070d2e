"""
Rows that came during a conversion and have no partition yet: the partition is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.homes import MOST, TAKEN, parent_of, value_of
from pgultra.features.partitions.ddl import make_child
from pgultra.features.partitions.names import child_name, free_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import RangeBound
    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience
    from pgultra.features.partitions.rules import Rules

__all__ = ["rehome"]

PAGE = 100
"""Keys that are looked at together."""


def rehome(
    patience: Patience,
    design: Design,
    table: sa.Table,
    rules: Rules,
    nets: Sequence[Sequence[str]],
) -> bool:
    """
    Give a partition to each row that a net has caught; True if there was any.

    Raises:
        PgultraError: there is none for it, by the rules.
    """
    moved = False
    for parent, net in nets:
        with patience.transaction() as connection:
            cells = _caught(connection, design, table, rules, parent, net)
        if cells:
            _move(patience, design, table, rules, net, cells)
            moved = True
    return moved


def _caught(
    connection: Connection, design: Design, table: sa.Table, rules: Rules, parent: str, net: str
) -> list[RangeBound]:
    """
    The cells that the rows in a net need.

    Raises:
        PgultraError: a row has none, or they need too many.
    """
    column = rules.key_column(table).name
    typed = design.old.column(column)
    assert typed is not None  # an obstacle otherwise
    grid = rules.grid(table)
    name = sql.identifier(column)
    cells: dict[RangeBound, None] = {}
    while True:
        others = "".join(f" AND NOT ({cell.check(name)})" for cell in cells)
        question = f"SELECT DISTINCT {name}::text FROM {net} WHERE TRUE{others} LIMIT {PAGE}"  # noqa: S608  # quoted
        keys = list(connection.execute(sql.statement(question)).scalars())
        if not keys:
            return list(cells)
        values = [value_of(key, typed["type"]) for key in keys]
        if grid is None or parent != design.names.new or None in values or len(cells) > MOST:
            raise PgultraError(
                f"{table.fullname}: rows have no partition by the rules of the model, such as "
                f"that with the key {keys[0]}; correct them, or declare a partition, undo this "
                "conversion and begin again"
            )
        cells.update(dict.fromkeys(grid.cell(value) for value in values))


def _move(
    patience: Patience,
    design: Design,
    table: sa.Table,
    rules: Rules,
    net: str,
    cells: list[RangeBound],
) -> None:
    names = design.names
    grid = rules.grid(table)
    parent = parent_of(design, table, rules)
    columns = ", ".join(map(sql.identifier, design.old.stored))

    def once() -> None:
        with patience.transaction(blocking=True) as connection:
            statements = [
                f"LOCK TABLE {names.new} IN ACCESS EXCLUSIVE MODE",
                f"ALTER TABLE {names.new} DETACH PARTITION {net}",
            ]
            taken = set(connection.execute(TAKEN, {"schema": names.schema}).scalars())
            for cell in cells:
                name = free_name(child_name(names.name, cell, rules, grid), taken)
                taken.add(name)
                statements += make_child(parent, name, cell)
            statements += [
                (
                    f"INSERT INTO {names.new} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608  # quoted
                    f"SELECT {columns} FROM {net}"
                ),
                f"TRUNCATE {net}",
                f"ALTER TABLE {names.new} ATTACH PARTITION {net} DEFAULT",
            ]
            for each in statements:
                connection.execute(sql.statement(each))

    patience.until_it_works(once)
