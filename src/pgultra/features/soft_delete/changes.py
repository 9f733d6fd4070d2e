"""
Changes of an object that were not written yet when it was deleted: they are written with the mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, update
from sqlalchemy.orm import ColumnProperty, RelationshipDirection, RelationshipProperty, attributes

from pgultra.features.soft_delete.departure import matching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.orm import Mapper

    from pgultra.features.soft_delete.tops import Doomed

__all__ = ["complete", "of", "targets_of", "write"]


def of(instance: Any, root: Mapper[Any]) -> dict[Any, Any]:
    """
    The new values of an object's columns, in the tables of its whole hierarchy.

    A column that stands in several tables is named as the root has it; keys stay as they are.
    """
    state = attributes.instance_state(instance)
    changes = {}
    for key in state.committed_state:
        prop = state.mapper.attrs.get(key)
        if not isinstance(prop, ColumnProperty):
            continue
        columns = [each for each in prop.columns if isinstance(each, Column)]
        columns.sort(key=lambda each: each.table is not root.local_table)
        if columns and not any(each.primary_key for each in columns):
            changes[columns[0]] = state.dict.get(key)
    return changes


def targets_of(instance: Any) -> dict[RelationshipProperty[Any], Any]:
    """
    The objects to which an object was moved, by relationship: they may have no key yet.

    One that was let go of keeps its key, and comes back to its place when it is restored.
    """
    state = attributes.instance_state(instance)
    moved = {}
    for key in state.committed_state:
        prop = state.mapper.attrs.get(key)
        if (
            isinstance(prop, RelationshipProperty)
            and prop.direction is RelationshipDirection.MANYTOONE
            and not prop.viewonly
            and state.dict.get(key) is not None
        ):
            moved[prop] = state.dict[key]
    return moved


def complete(doomed: Doomed) -> None:
    """
    Add the keys of the objects to which one was moved, now that these are written.
    """
    for relationship, target in doomed.targets.items():
        for there, here in relationship.synchronize_pairs:
            value = getattr(target, relationship.mapper.get_property_by_column(there).key)
            if value is not None and isinstance(here, Column) and not here.primary_key:
                doomed.values[here] = value


def write(connection: Connection, doomed: Doomed, *, root: bool) -> None:
    """
    Write the changes in the tables of a hierarchy, the root's own only if it is told to.
    """
    tables = dict.fromkeys(column.table for column in doomed.values)
    for table in tables:
        if table is not doomed.root.local_table or root:
            changes = {each: new for each, new in doomed.values.items() if each.table is table}
            keys = list(_keys(doomed.state.mapper, table))
            connection.execute(update(table).where(matching(keys, [doomed.key])).values(changes))


def _keys(mapper: Mapper[Any], table: Any) -> Iterator[Column[Any]]:
    """
    The primary key as one of the tables of a hierarchy has it.
    """
    for key in mapper.primary_key:
        columns: list[Any] = mapper.get_property_by_column(key).columns
        yield next(each for each in columns if each.table is table)
