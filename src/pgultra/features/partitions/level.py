"""
One partitioned table of a tree, with its rules and the partitions right below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions.bounds import DefaultBound, ListBound, RangeBound, parse_bound
from pgultra.features.partitions.planning import cutoff_of, missing
from pgultra.objects._catalog import rows
from pgultra.plan.hidden_rows import has_hidden_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.rules import Rules

__all__ = ["Level", "present"]

WRITTEN = """
SELECT i.inhrelid::bigint AS oid
FROM pg_catalog.pg_inherits AS i
WHERE i.inhparent::text = :table AND EXISTS (
    SELECT FROM pg_catalog.pg_partition_tree(i.inhrelid) AS t
    WHERE t.isleaf AND pg_catalog.pg_relation_size(t.relid) > 0)
"""


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
        read = self._as_read(fixed)
        return missing(self.rules, self.grid, self.bounds, self.current, fixed, moment, read)

    def _as_read(self, fixed: Sequence[Bound]) -> list[Bound]:
        """
        Declared bounds with values as those of the catalog are read.
        """
        types = [each.key_type for each in self.children]
        return [parse_bound(each.render(), types[0]) if types else each for each in fixed]

    def taken_in_part(self) -> Iterator[tuple[Bound, Child]]:
        """
        The declared groups of which another partition has some values, and that partition.
        """
        for bound in self._as_read(self.rules.bounds_for(self.parent.table, self.spelt)):
            for child in self.children:
                is_other = isinstance(bound, ListBound) and bound != child.bound
                if is_other and bound.overlaps(child.bound):
                    yield bound, child

    def cutoff(self, moment: datetime) -> Any:
        """
        The value below which rows are not kept.
        """
        return cutoff_of(self.rules, self.grid, moment, self.current)


def present(connection: Connection, level: Level, moment: datetime) -> Any:
    """
    The present as a value of the key: of the clock, or the greatest of the numbers there are.

    Where row security may hide numbers, it is the beginning of the last partition with rows.
    """
    if level.grid is None:
        return None
    if level.grid.unit != "integer":
        return level.grid.value_at(moment)
    if has_hidden_rows(connection, level.spelt):
        written = {row.oid for row in rows(connection, WRITTEN, table=str(level.oid))}
        bounds = [each.bound for each in level.children if each.oid in written]
        greatest = max(
            (
                each.lower
                for each in bounds
                if isinstance(each, RangeBound) and each.lower is not None
            ),
            default=None,
        )
    else:
        query = f"SELECT pg_catalog.max({level.column}) FROM {level.spelt}"  # noqa: S608  # quoted
        greatest = connection.execute(sql.statement(query)).scalar()
    if greatest is not None:
        return int(greatest)
    return getattr(level.rules, "start", None) or 0
