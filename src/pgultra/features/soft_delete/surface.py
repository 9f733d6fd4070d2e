"""
For SQLAlchemy 2.0: entities that a SELECT names in its WHERE only, as ``any()`` does.

Version 2.1 applies criteria to them by itself (SQLAlchemy #13070). Before, an
``EXISTS (SELECT 1 FROM comment WHERE comment.post_id = post.id)`` stays unfiltered,
because the FROM is found in the WHERE. Here the WHERE gets the criterion of each entity
that it names; one that is filtered anyway is named twice, which changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.selectable import FromClause, Select, SelectBase

from pgultra.features.soft_delete.model import SoftDelete, deleted_column

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

__all__ = ["NEEDED", "completed", "completed_columns", "completed_where", "mappers"]

NEEDED = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:2]) < (2, 1)
"""
Whether this SQLAlchemy overlooks them.
"""


def mappers(statement: Any) -> set[Any]:
    """
    The mappers of all entities that a statement names, at any depth.
    """
    found = (each._annotations.get("parententity") for each in visitors.iterate(statement))
    return {entity.mapper for entity in found if entity is not None}


def completed(select: Select[Any]) -> Select[Any]:
    """
    The same SELECT with the criteria that its WHERE and the ones inside it lack.
    """
    where = completed_where(select._where_criteria, select)
    if where == select._where_criteria:
        return select
    select = select._generate()
    select._where_criteria = where
    return select


def completed_where(criteria: tuple[Any, ...], select: Any = None) -> tuple[Any, ...]:
    """
    The criteria of a WHERE, with those of the entities that they name.
    """
    return (
        *(_rebuilt(each) if _has_select(each) else each for each in criteria),
        *_missing(criteria, select),
    )


def completed_columns(select: Select[Any]) -> Select[Any]:
    """
    A Core SELECT whose columns and WHERE hold ORM SELECTs.
    """
    select = completed(select)
    if any(_has_select(each) for each in select._raw_columns):
        select = select._generate()
        select._raw_columns = [
            _rebuilt(each) if not isinstance(each, FromClause) else each
            for each in select._raw_columns
        ]
    return select


def _has_select(clause: Any) -> bool:
    return any(isinstance(each, Select) for each in visitors.iterate(clause))


def _rebuilt(clause: Any) -> Any:
    """
    A copy of an expression in which every SELECT is completed; tables stay themselves.
    """
    if isinstance(clause, Select):
        return completed(clause)
    if isinstance(clause, FromClause | ColumnClause):
        return clause
    clone = clause._clone()
    clone._copy_internals(clone=lambda each, **_: _rebuilt(each))
    return clone


def _missing(criteria: tuple[Any, ...], select: Any) -> Iterator[ColumnElement[bool]]:
    seen: set[int] = set()
    for criterion in criteria:
        for element in _at_surface(criterion):
            mapper = element._annotations.get("parentmapper")
            source = getattr(element, "table", None)
            if mapper is None or source is None or not issubclass(mapper.class_, SoftDelete):
                continue
            column = deleted_column(mapper)
            sources = [source, *getattr(select, "_from_obj", ())]
            live = next(
                (
                    found
                    for found in (each.corresponding_column(column) for each in sources)
                    if found is not None
                ),
                None,
            )
            if live is not None and id(live) not in seen:
                seen.add(id(live))
                yield live.is_(None)


def _at_surface(clause: Any) -> Iterator[Any]:
    waiting = [clause]
    while waiting:
        element = waiting.pop()
        if not isinstance(element, SelectBase | FromClause):
            yield element
            waiting.extend(element.get_children())
