"""
Which rows of an entity a search may find: those of its class that fulfil the filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, inspect, literal_column, select
from sqlalchemy.sql.util import ClauseAdapter

from pgultra.errors import DeclarationError
from pgultra.features.search.words import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import FromClause

__all__ = ["rows_of"]


def rows_of(entity: Any, source: FromClause, filters: Sequence[Any]) -> Select[Any]:
    """
    A statement of an entity's rows, each of them once.

    It selects the entity itself and not its table, so that what a session adds to all
    statements of it (``with_loader_criteria``) holds here too.

    Args:
        entity: a mapped class, an alias of one, or a Table.
        source: what its rows are selected from.
        filters: conditions; those that other tables take part in hold if some row does.

    Raises:
        DeclarationError: nothing ties the other tables to the entity's rows.
    """
    own: list[Any] = _rows_of_class(entity)
    other: list[Any] = []
    for each in filters:
        froms = getattr(plain(each), "_from_objects", ())
        (own if all(each in (source,) for each in froms) else other).append(each)
    if other:
        if not any(source in getattr(plain(each), "_from_objects", ()) for each in other):
            raise DeclarationError(
                f"search: filters= name other tables than {source}, and nothing ties those to it; "
                "of an alias, write conditions of the alias, and say which rows belong together"
            )
        found: Select[Any] = select(literal_column("1")).where(*other)
        own.append(found.correlate(source).exists())
    return select(entity).where(*own)


def _rows_of_class(entity: Any) -> list[ColumnElement[bool]]:
    """
    What tells a class's rows from others in its table: a condition, where several share it.
    """
    inspected: Any = inspect(entity, raiseerr=False)
    mapper = getattr(inspected, "mapper", None)
    found = None if mapper is None else mapper._single_table_criterion
    if found is None:
        return []
    return [ClauseAdapter(inspected.selectable).traverse(found)]
