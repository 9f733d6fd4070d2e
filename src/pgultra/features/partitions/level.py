"""
One partitioned table of a tree, with its rules and the partitions right below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.bounds import DefaultBound
from pgultra.features.partitions.planning import cutoff_of, missing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.rules import Rules

__all__ = ["Level", "present"]


@dataclass(frozen=True)
class Level:
    """
    One partitioned table of a tree: the one at the top, or a partition with partitions.

    Attributes:
        parent: the table at the top.
        oid, schema, name: this table.
        rules, grid: of this level.
        children: those right below it.
        current: the present as a value of the key; None for a list or hash.
    """

    parent: Parent
    oid: int
    schema: str
    name: str
    rules: Rules
    grid: Grid | None
    children: tuple[Child, ...]
    current: Any = None

    @property
    def spelt(self) -> str:
        """
        Schema and name as SQL.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def default(self) -> Child | None:
        """
        The default partition, if there is one.
        """
        found = (each for each in self.children if isinstance(each.bound, DefaultBound))
        return next(found, None)

    @property
    def column(self) -> str:
        """
        The key's column, quoted.
        """
        return sql.identifier(self.rules.key_column(self.parent.table).name)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """
        What is taken; by partitions that are being detached no more.
        """
        return tuple(each.bound for each in self.children if not each.detaching)

    def missing(self, moment: datetime) -> tuple[Bound, ...]:
        """
        What should be there and is not.
        """
        fixed = self.rules.bounds_for(self.parent.table, self.spelt)
        return missing(self.rules, self.grid, self.bounds, self.current, fixed, moment)

    def cutoff(self, moment: datetime) -> Any:
        """
        The value below which rows are not kept.
        """
        return cutoff_of(self.rules, self.grid, moment, self.current)


def present(connection: Connection, level: Level, moment: datetime) -> Any:
    """
    The present as a value of the key: of the clock, or the greatest of the numbers there are.
    """
    if level.grid is None:
        return None
    if level.grid.unit != "integer":
        return level.grid.value_at(moment)
    query = f"SELECT pg_catalog.max({level.column}) FROM {level.spelt}"  # noqa: S608  # quoted
    greatest = connection.execute(sql.statement(query)).scalar()
    if greatest is not None:
        return int(greatest)
    return getattr(level.rules, "start", None) or 0
