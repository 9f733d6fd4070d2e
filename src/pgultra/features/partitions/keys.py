"""
The column that a table is partitioned by: found, judged, and held by every unique rule.
"""

from __future__ import annotations

import enum
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from pgultra import sql
from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check_unique_rules", "clause_of", "column_of", "kind_of", "stored"]

FITS: dict[str, tuple[type[Any], ...]] = {
    "timestamptz": (date, str),
    "timestamp": (date, str),
    "date": (date, str),
    "uuid7": (UUID, str),
    "smallint": (int,),
    "integer": (int,),
    "bigint": (int,),
}
"""What a value of each kind of key can be in Python."""


def column_of(table: sa.Table, name: Any, place: str) -> sa.Column[Any]:
    """
    The column that a declaration means: by its key, its attribute, or itself.

    Raises:
        DeclarationError: the table has no such column.
    """
    if isinstance(name, str):
        found = table.columns.get(name)
        by_name = [column for column in table.columns if column.name == name]
        if found is None and len(by_name) == 1:
            found = by_name[0]
        if found is None:
            found = _attribute(table, name)
        if found is not None:
            return found
    else:
        mapped = getattr(getattr(name, "property", None), "columns", None)
        for column in mapped or [getattr(name, "column", name)]:
            if isinstance(column, sa.Column) and column.table is table:
                return column
            if isinstance(column, sa.Column) and column.key and column.key in table.columns:
                return table.columns[column.key]  # a copy of the table, or of the column
    raise DeclarationError(
        f"{place}: it has no column {name!r} to be partitioned by; there are "
        f"{', '.join(table.columns.keys()) or 'none'}"
    )


def _attribute(table: sa.Table, name: str) -> sa.Column[Any] | None:
    """
    The column of a mapped attribute whose name is not the column's.
    """
    for column in table.columns:
        if column.info.get("pgultra.attribute") == name:
            return column
    return None


def kind_of(column: sa.Column[Any]) -> str:
    """
    What a key is to the calendar: ``timestamptz``, ``uuid7``, ``bigint`` …, or ``other``.
    """
    type_: Any = column.type
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl
    if isinstance(type_, sa.DateTime):
        return "timestamptz" if type_.timezone else "timestamp"
    for kind, types in (
        ("date", sa.Date),
        ("uuid7", sa.Uuid),
        ("smallint", sa.SmallInteger),
        ("bigint", sa.BigInteger),
        ("integer", sa.Integer),
    ):
        if isinstance(type_, types):
            return kind
    return "other"


def stored(column: sa.Column[Any], value: Any) -> Any:
    """
    A value as the column stores it: the name of an enum's member, what a decorator makes of it.

    Raises:
        DeclarationError: the column cannot hold it.
    """
    if value is None:
        return None
    found = _bound(column, value)
    if isinstance(found, bytes | bytearray | memoryview):
        raise DeclarationError(
            f"table {column.table}: {value!r} in bounds= or groups= is bytes, of which no "
            "partition is made: partition by a hash, or by a column of another type"
        )
    fit = FITS.get(kind_of(column))
    if fit is not None and (isinstance(found, bool) or not isinstance(found, fit)):
        raise DeclarationError(
            f"table {column.table}: {value!r} in bounds= or groups= is no value of {column.key}, "
            f"which is of type {column.type}"
        )
    return found


def _bound(column: sa.Column[Any], value: Any) -> Any:
    if isinstance(column.type, TypeDecorator) or isinstance(value, enum.Enum):
        dialect = sql.dialect()
        process = column.type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None:
            return process(value)
    return value.value if isinstance(value, enum.Enum) else value


def clause_of(strategy: str, columns: Sequence[str]) -> str:
    """
    As after ``PARTITION BY``, without a percent sign: drivers differ on how to spell that.
    """
    return f"{strategy.upper()} ({', '.join(map(_spelt, columns))})"


def _spelt(name: str) -> str:
    if "%" not in name:
        return sql.identifier(name)
    escaped = name.replace("\\", "\\\\").replace('"', '""').replace("%", "\\0025")
    return f'U&"{escaped}"'


# -- unique rules ------------------------------------------------------------------------------


def check_unique_rules(table: sa.Table, columns: Sequence[sa.Column[Any]], place: str) -> None:
    """
    See that the primary key and every unique rule hold the columns of the partition key.

    Raises:
        DeclarationError: one does not; the message says what to write instead.
    """
    for column in columns:
        if column.computed is not None:
            raise DeclarationError(
                f"{place}: {column.key} is a generated column, by which PostgreSQL cannot "
                "partition: partition by the column that it is made of"
            )
    for what, held, advice in _rules(table):
        missing = [c for c in columns if c.name not in {h.name for h in held}]
        if missing:
            names = ", ".join(c.key for c in missing)
            raise DeclarationError(
                f"{place}: {what} must contain the partition key {names}, since PostgreSQL keeps "
                f"it partition by partition: {advice(missing)}"
            )


def _rules(table: sa.Table) -> Iterator[tuple[str, list[Any], Any]]:
    primary = list(table.primary_key)
    if primary:
        names = ", ".join(column.key for column in primary)
        yield f"the primary key ({names})", primary, _for_primary_key
    constraints: list[Any] = sorted(table.constraints, key=lambda c: str(c.name))
    for constraint in constraints:
        if isinstance(constraint, sa.UniqueConstraint):
            held = list(constraint.columns)
            yield f"UniqueConstraint({_listed(held)})", held, _for_unique("UniqueConstraint", held)
        elif type(constraint).__name__ == "ExcludeConstraint":
            held = list(constraint.columns)
            yield f"the exclusion constraint on ({_listed(held)})", held, _for_exclusion
    for index in sorted(table.indexes, key=lambda i: str(i.name)):
        if index.unique:
            held = [each for each in index.expressions if isinstance(each, sa.Column)]
            yield (
                f"the unique index {index.name}",
                held,
                _for_unique(f"Index({index.name!r}, …)", held),
            )


def _listed(columns: Sequence[sa.Column[Any]]) -> str:
    return ", ".join(repr(column.key) for column in columns)


def _for_primary_key(missing: Sequence[sa.Column[Any]]) -> str:
    return "write " + " and ".join(
        f"{column.key} = mapped_column(…, primary_key=True)" for column in missing
    )


def _for_unique(what: str, held: Sequence[sa.Column[Any]]) -> Any:
    def advice(missing: Sequence[sa.Column[Any]]) -> str:
        names = _listed([*held, *missing])
        written = (
            f"UniqueConstraint({names})" if what == "UniqueConstraint" else f"an index on ({names})"
        )
        return (
            f"write {written}, which then holds among rows of one key only; what must be unique "
            "for all rows belongs into a table of its own, with a foreign key to it"
        )

    return advice


def _for_exclusion(missing: Sequence[sa.Column[Any]]) -> str:
    return "add " + ", ".join(f"({column.key!r}, '=')" for column in missing)
