"""
TABLE and TABLE.COLUMN: with their schema, or without it where one alone is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Column, MetaData, Table

__all__ = ["column_named", "spelt", "tables_named"]

MOST = 12
"""How many names a message lists."""
Thing = TypeVar("Thing")


def spelt(column: Column[Any]) -> str:
    """
    A column as TABLE.COLUMN, with the schema of its table.
    """
    return f"{column.table.fullname}.{column.name}"


def tables_named(path: str, name: str, several: Iterable[MetaData]) -> list[Table]:
    """
    The table of a name, in each MetaData that has it.

    Raises:
        PgultraError: there is none, or several are in different schemas.
    """
    tables = [table for each in several for table in each.tables.values()]
    found = [table for table in tables if table.fullname == name]
    if found:
        return found
    one = _one(path, "table", name, [(t.fullname, t.name, t) for t in tables])
    return [table for table in tables if table.fullname == one.fullname]


def column_named(path: str, kind: str, name: str, columns: Iterable[Column[Any]]) -> Column[Any]:
    """
    The column of a name, among those of a kind.

    Raises:
        PgultraError: there is none, or several are in different schemas.
    """
    known = []
    for each in columns:
        for word in dict.fromkeys((each.name, str(each.key))):
            if name == f"{each.table.fullname}.{word}":
                return each
            known.append((spelt(each), f"{each.table.name}.{word}", each))
    return _one(path, kind, name, known)


def _one(path: str, kind: str, name: str, known: Iterable[tuple[str, str, Thing]]) -> Thing:
    """
    What a short name means: known are full name, short name and thing.
    """
    known = list(known)
    found = {full: thing for full, short, thing in known if short == name}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise PgultraError(f"{path} has several of {name!r}: say {' or '.join(sorted(found))}")
    names = sorted({full for full, _, _ in known})
    listed = ", ".join(names[:MOST]) + (", …" if len(names) > MOST else "")
    raise PgultraError(f"{path} has no {kind} {name!r}; it has {listed or 'none'}")
