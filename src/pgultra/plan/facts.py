"""
Facts: what rooms may know of a table without knowing each other.

A room's declaration may answer ``facts(table)``; ``facts_of(table)`` merges the answers of
all of them, derived anew each time, so that the order of mixins does not matter.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, FromClause

__all__ = ["Facts", "Live"]


@dataclass(frozen=True, slots=True)
class Live:
    """
    What "live" means: a column that is NULL.

    >>> Live("deletedAt").text()
    '"deletedAt" IS NULL'
    """

    column: str

    def text(self, qualifier: str = "") -> str:
        """
        The predicate as SQL, the very text of the partial indexes.
        """
        return f"{qualifier}{sql.identifier(self.column)} IS NULL"

    def expression(self, source: FromClause) -> ColumnElement[bool]:
        """
        The predicate as an expression on a table, alias or subquery.
        """
        return source.c[self.column].is_(None)


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What is known of one table.

    Attributes:
        live: how live rows are told from deleted ones; None: all rows are live.
        secret_columns: names that must not be copied into logs, feeds or other tables.
        tenant_column: the column that row security compares.
        partition_key: columns that every unique index must hold.
        rankers: what search.hybrid can fuse, opaque here.
        before_update_triggers: names of BEFORE UPDATE row triggers; with any, PostgreSQL
            computes every generated column of the table anew on every update.
    """

    live: Live | None = None
    secret_columns: frozenset[str] = frozenset()
    tenant_column: str | None = None
    partition_key: tuple[str, ...] = ()
    rankers: tuple[Any, ...] = ()  # opaque to the kernel
    before_update_triggers: tuple[str, ...] = ()

    @classmethod
    def merged(cls, all_facts: Iterable[Facts], table: str) -> Facts:
        """
        Several rooms' facts as one.

        Raises:
            DeclarationError: two rooms contradict each other.
        """
        merged = cls()
        for facts in all_facts:
            changes: dict[str, Any] = {}
            for entry in dataclasses.fields(cls):
                mine, other = getattr(merged, entry.name), getattr(facts, entry.name)
                if isinstance(mine, frozenset):
                    changes[entry.name] = mine | other
                elif entry.name in ("rankers", "before_update_triggers"):
                    changes[entry.name] = (*mine, *other)
                elif mine and other and mine != other:
                    raise DeclarationError(
                        f"table {table}: two declarations disagree on {entry.name}: "
                        f"{mine!r} and {other!r}"
                    )
                else:
                    changes[entry.name] = mine or other
            merged = dataclasses.replace(merged, **changes)
        return merged
