"""
Whether a statement keeps some rows only, and whether one may come several times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Join

if TYPE_CHECKING:
    from sqlalchemy import Select

__all__ = ["joins", "narrowed"]


def narrowed(statement: Select[Any]) -> bool:
    """
    Whether the ORM adds conditions: of a subclass in its parent's table, or with_loader_criteria.
    """
    named = (each._annotations.get("parentmapper") for each in statement._raw_columns)
    mappers = [each for each in named if each is not None]
    options = [
        each for each in statement._with_options if getattr(each, "_is_criteria_option", False)
    ]
    return any(
        mapper.single or any(_concerns(option, mapper) for option in options) for mapper in mappers
    )


def _concerns(option: Any, mapper: Any) -> bool:
    """
    Whether a with_loader_criteria is about a mapper's rows: by its entity, or by a class above.
    """
    if option.entity is not None:
        return bool(mapper.isa(option.entity.mapper))
    return issubclass(mapper.class_, option.root_entity)


def joins(statement: Select[Any]) -> bool:
    """
    Whether a row of the table may come several times, with rows of other tables.
    """
    froms = statement.get_final_froms()
    return len(froms) > 1 or any(isinstance(each, Join) for each in froms)
