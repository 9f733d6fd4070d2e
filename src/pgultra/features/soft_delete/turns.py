"""
Taking turns in tables that refer to themselves.

A deletion goes down such a tree level by level; several at once begin at several levels, as
does one that comes into the tree from another table, and a restore takes its rows by key and
their parents besides: no order of row locks suits all of them. So whoever deletes one row of
the tree shares a lock of the transaction, and whoever deletes several, restores or removes
takes it alone. Tables that do not refer to themselves, directly or through others, need none
of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, func, literal, select

from pgultra import sql
from pgultra.features.soft_delete import mapped
from pgultra.features.soft_delete.edges import links, mappers_below
from pgultra.features.soft_delete.tops import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection
    from sqlalchemy.orm import Mapper

__all__ = ["alone", "shared"]


def shared(connection: Connection, root: Mapper[Any]) -> None:
    """
    Before deleting one row, let nobody restore, or delete several, below it.
    """
    for mapper in _circling(mappers_below(root)):
        _take(connection, mapper, "_shared" if _step_by_step(root, mapper) else "")


def alone(connection: Connection, mappers: Iterable[Mapper[Any]]) -> None:
    """
    Before all else, let nobody delete in some hierarchies.
    """
    for mapper in _circling(mappers):
        _take(connection, mapper, "")


def _circling(mappers: Iterable[Mapper[Any]]) -> list[Mapper[Any]]:
    """
    Those of some hierarchies that refer to themselves, in the order of locks.
    """
    return [
        mapper
        for mapper in in_order(set(mappers))
        if any(mapper in mappers_below(child) for child, *_ in links(mapper))
    ]


def _step_by_step(root: Mapper[Any], mapper: Mapper[Any]) -> bool:
    """
    Whether one row of a hierarchy takes those of another along one level after the other.

    It does if both go round in the same circle, and nothing leads across it.
    """
    circle = {each for each in mappers_below(mapper) if mapper in mappers_below(each)}
    inside = [child for each in circle for child, *_ in links(each) if child in circle]
    return root in circle and len(inside) == len(circle)


def _take(connection: Connection, mapper: Mapper[Any], how: str) -> None:
    lock = getattr(func, f"pg_advisory_xact_lock{how}")
    table = mapped.table_of(mapper)
    schema = sql.schema_on(connection, table.schema)
    where: Any = literal(schema, Text) if schema else cast(func.current_schema(), Text)
    name = literal("pgultra.soft_delete:", Text) + where + literal(f".{table.name}", Text)
    connection.execute(select(lock(func.hashtextextended(name, 0))))
