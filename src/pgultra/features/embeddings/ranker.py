"""
What ``search.hybrid`` fuses of this room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, func, select

from pgultra.features.embeddings.nearest import Search, judged
from pgultra.plan.rankers import Ranker, source_of

if TYPE_CHECKING:
    from sqlalchemy import Select

__all__ = ["VectorRanker"]


@dataclass(frozen=True, kw_only=True)
class VectorRanker(Ranker):
    """
    Ranks the rows of a table by the distance of one vector column.
    """

    table: Table

    def candidates(self, statement: Select[Any], query: Any, limit: int) -> Select[Any]:
        """
        The nearest rows, with their rank.
        """
        source = source_of(statement, self.table)
        column = source.c[self.column]
        found = Search.of(statement, column, query).found(judged(limit))
        keys = found.keys
        rank = func.row_number().over(order_by=(found.distance, *keys))
        return select(
            *(key.label(own.key) for key, own in zip(keys, source.primary_key, strict=True)),
            rank.label("rank"),
        )
