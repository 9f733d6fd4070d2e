"""
Rows that came during a conversion and have no partition yet: the partition is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.homes import parent_of, value_of
from pgultra.features.partitions.ddl import make_child
from pgultra.features.partitions.names import child_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.design import Design
    from pgultra.features.partitions.conversion.patience import Patience
    from pgultra.features.partitions.rules import Rules

__all__ = ["rehome"]

MOST = 100


def rehome(
    patience: Patience,
    design: Design,
    table: sa.Table,
    rules: Rules,
    nets: Sequence[Sequence[str]],
) -> None:
    """
    Give a partition to each row that a net has caught.

    Raises:
        PgultraError: there is none for it, by the rules.
    """
    for parent, net in nets:
        with patience.transaction() as connection:
            keys = _caught(connection, net, rules.key_column(table).name)
        if keys:
            grid = rules.grid(table)
            if grid is None or parent != design.names.new or len(keys) > MOST:
                raise PgultraError(
                    f"{table.fullname}: rows have no partition by the rules of the model, such as "
                    f"that with the key {keys[0]}; correct them, or declare a partition, undo this "
                    "conversion and begin again"
                )
            _move(patience, design, table, rules, net, keys)


def _caught(connection: Connection, net: str, column: str) -> list[str]:
    name = sql.identifier(column)
    question = f"SELECT DISTINCT {name}::text FROM {net} LIMIT {MOST + 1}"  # noqa: S608  # quoted
    return list(connection.execute(sql.statement(question)).scalars())


def _move(
    patience: Patience,
    design: Design,
    table: sa.Table,
    rules: Rules,
    net: str,
    keys: list[str],
) -> None:
    names = design.names
    column = rules.key_column(table).name
    typed = design.old.column(column)
    grid: Any = rules.grid(table)
    assert typed is not None  # an obstacle otherwise
    values = [value_of(key, typed["type"]) for key in keys]
    if None in values:
        raise PgultraError(f"{table.fullname}: there is no partition for {column} = {keys[0]}")
    cells = dict.fromkeys(grid.cell(value) for value in values)
    parent = parent_of(design, table, rules)
    columns = ", ".join(map(sql.identifier, design.old.stored))

    def once() -> None:
        with patience.transaction(blocking=True) as connection:
            statements = [
                f"LOCK TABLE {names.new} IN ACCESS EXCLUSIVE MODE",
                f"ALTER TABLE {names.new} DETACH PARTITION {net}",
            ]
            for cell in cells:
                statements += make_child(parent, child_name(names.name, cell, rules, grid), cell)
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
