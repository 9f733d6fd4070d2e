"""
Rankers: how a room tells another that rows of a table can be put in an order.

A room that can rank (``search`` by words, ``embeddings`` by meaning) puts a ranker into the
facts of its table. ``search.hybrid`` finds rankers there and fuses their candidates, and
neither room knows the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy import FromClause, Select, Table

__all__ = ["Ranker", "source_of"]


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """
    One way to put the rows of a table in an order; rooms subclass it.

    Attributes:
        name: unique on the table: ``search``, ``embedding``.
        column: the key of the column that it ranks by.
        kind: what a query is: a ``text`` or a ``vector``.
    """

    name: str
    column: str
    kind: Literal["text", "vector"]

    def candidates(
        self,
        statement: Select[Any],  # whatever the host selects; only FROM and WHERE count
        query: Any,  # a text, or a vector in any form
        limit: int,
    ) -> Select[Any]:
        """
        The best rows of a statement, best first.

        Args:
            statement: a select of the table (or an alias of it) with the filters that hold.
            query: what the rows are compared with.
            limit: how many rows at most.

        Returns:
            A select of the primary key's columns, under their own keys, and of ``rank``: 1
            for the best. It has no order of its own to rely on: sort by ``rank``. It may
            hold CTEs and can be used as a subquery or CTE.
        """
        raise NotImplementedError


def source_of(statement: Select[Any], table: Table) -> FromClause:
    """
    The table, or the alias of it, that a statement selects from.

    Args:
        statement: a select with the table somewhere in its FROM.
        table: the table that is looked for.

    Raises:
        ValueError: the statement does not select from it.
    """
    from_clauses: list[Any] = list(statement.get_final_froms())
    while from_clauses:
        each = from_clauses.pop(0)
        if each is table or getattr(each, "element", None) is table:
            found: FromClause = each
            return found
        if hasattr(each, "left"):
            from_clauses[:0] = [each.left, each.right]
    raise ValueError(f"the statement does not select from {table.fullname}")
