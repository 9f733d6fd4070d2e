"""
Which tables are mapped by soft-deletable classes.

Everything that runs for every session asks here first, and returns when the answer is none.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Mapper

__all__ = ["add", "any_mapped", "mapper_of", "table_of", "tables"]

_mappers: weakref.WeakKeyDictionary[Table, weakref.ref[Mapper[Any]]] = weakref.WeakKeyDictionary()

any_mapped = _mappers.__len__
"""
How many there are; 0 lets the listeners return at once.
"""


def add(table: Table, mapper: Mapper[Any]) -> None:
    """
    Remember the mapper at the root of a soft-deletable hierarchy.
    """
    _mappers[table] = weakref.ref(mapper)


def mapper_of(table: Table) -> Mapper[Any] | None:
    """
    The mapper at the root of the hierarchy that lives in a table.
    """
    found = _mappers.get(table)
    return found() if found is not None else None


def table_of(mapper: Mapper[Any]) -> Table:
    """
    The table of a mapper at the root of a hierarchy: one table, as was checked.
    """
    table = mapper.local_table
    assert isinstance(table, Table)
    return table


def tables() -> Iterator[tuple[Table, Mapper[Any]]]:
    """
    All of them.
    """
    for table, reference in list(_mappers.items()):
        mapper = reference()
        if mapper is not None:
            yield table, mapper
