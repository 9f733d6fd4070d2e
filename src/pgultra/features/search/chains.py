"""
The way from a row to its related rows, along the foreign keys that the tables declare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table
from sqlalchemy.exc import InvalidRequestError

from pgultra.errors import DeclarationError
from pgultra.features.search.related import Chain
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from sqlalchemy import ForeignKeyConstraint

    from pgultra.features.search.related import Related

__all__ = ["chain_of"]


def chain_of(table: Table, related: Related) -> Chain:
    """
    Follow the foreign keys between the tables.

    Raises:
        DeclarationError: there is no such column, or not exactly one foreign key on the way.
    """
    column = _column(table, related.column)
    target = column.table
    if related.through is None:
        return Chain(table, target, column, target, _foreign_key(target, table), ())
    link = _table(table, related.through)
    up = _foreign_key(link, table)
    down = tuple((mine, theirs) for theirs, mine in _foreign_key(link, target))
    return Chain(table, target, column, link, up, down)


def _table(table: Table, given: Any) -> Table:
    if isinstance(given, Table):
        if given.metadata is table.metadata:
            return given
        same = [each for each in table.metadata.tables.values() if each.name == given.name]
        near = [each for each in same if each.schema == table.schema]
        return (near or same or [given])[0]  # a copy, for another schema
    if not isinstance(given, str):
        mapped = getattr(given, "__table__", None)
        if not isinstance(mapped, Table):
            place = f"search on table {table.fullname}: Related(...)"
            raise refused(place, "through", given, "a table, its name or a mapped class")
        given = mapped.key
    keys = (given, f"{table.schema}.{given}") if table.schema else (given,)
    for key in reversed(keys):
        if key in table.metadata.tables:
            return table.metadata.tables[key]
    raise DeclarationError(
        f"search on table {table.fullname}: there is no table {given!r} in its MetaData"
    )


def _column(table: Table, given: Any) -> Column[Any]:
    if isinstance(given, str):
        name, _, key = given.rpartition(".")
        if not name:
            raise DeclarationError(
                f"search on table {table.fullname}: Related({given!r}) names no table; write "
                "'table.column'"
            )
        other = _table(table, name)
        if key not in other.c:
            raise DeclarationError(
                f"search on table {table.fullname}: table {other.fullname} has no column {key!r}"
            )
        return other.c[key]
    element = given.__clause_element__() if hasattr(given, "__clause_element__") else given
    if not isinstance(element, Column) or not isinstance(element.table, Table):
        raise DeclarationError(
            f"search on table {table.fullname}: Related(...) takes a column, not {given!r}"
        )
    return _table(table, element.table).c[element.key]


def _foreign_key(child: Table, parent: Table) -> tuple[tuple[str, str], ...]:
    """
    Pairs of a column of the parent and one of the child.
    """
    found = [each for each in child.foreign_key_constraints if _refers(each, parent)]
    if len(found) != 1:
        raise DeclarationError(
            f"search on table {parent.fullname}: table {child.fullname} has {len(found)} foreign "
            "keys to it, and one is needed to follow related rows"
        )
    return tuple((element.column.name, element.parent.name) for element in found[0].elements)


def _refers(constraint: ForeignKeyConstraint, parent: Table) -> bool:
    element = constraint.elements[0]
    try:
        return element.column.table is parent
    except InvalidRequestError:  # it names a table that is not there, as yet
        return element.target_fullname.rpartition(".")[0] == parent.fullname
