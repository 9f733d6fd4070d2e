"""
Columns that options name: by key, by mapped attribute, or by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Table
from sqlalchemy.orm import MappedColumn

from pgultra.errors import DeclarationError
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Mapped, Mapper

    Named = str | Column[Any] | Mapped[Any]

__all__ = ["column_named", "given_names", "learn", "settled"]

_attributes: WeakKeyDictionary[Table, dict[str, str]] = WeakKeyDictionary()


class Key(str):
    """
    The key of a column that was given itself: it cannot mean an attribute.
    """

    __slots__ = ()


def learn(mapper: Mapper[Any], class_: type[Any]) -> None:
    """
    Note which attributes a class has for the columns of its tables.

    Raises:
        DeclarationError: SQLModel took what ``EncryptedColumn()`` gave for a default.
    """
    _insist_on_fields(class_)
    for table in mapper.tables:
        if isinstance(table, Table):
            _attributes.setdefault(table, {}).update(
                (name, column.key)
                for name, column in mapper.columns.items()
                if isinstance(column, Column) and column.table is table
            )


def _insist_on_fields(class_: type[Any]) -> None:
    """
    Refuse a column that SQLModel would make of a field's annotation, and keep plaintext in.
    """
    fields: dict[str, Any] = getattr(class_, "__pydantic_fields__", None) or {}
    for name, field in fields.items():
        default = getattr(field, "default", None)
        if isinstance(default, MappedColumn) and getattr(default.column.type, "seals", False):
            raise DeclarationError(
                f"{class_.__name__}.{name}: SQLModel takes EncryptedColumn(...) for a default "
                "value and would store plaintext; write Field(sa_type=Encrypted(...))"
            )


def given_names(given: Named | Sequence[Named], option: str = "columns") -> tuple[Any, ...]:
    """
    What an option was given: names as they are, and columns, which may get theirs later.
    """
    several = given if isinstance(given, list | tuple) else (given,)
    if isinstance(given, list | tuple) and option == "dual" and len(given) != 1:
        raise refused("Encrypted", option, given, "one column, or its name")
    return tuple(
        each if isinstance(each, str) and each else _column(each, option) for each in several
    )


def _column(given: Any, option: str) -> Any:
    """
    The column behind an attribute, or what ``mapped_column`` returned.
    """
    found = getattr(given, "column", None)  # mapped_column, in the body of a class
    if found is None and hasattr(given, "property"):
        found = given.property.columns[0]
    found = given if found is None else found
    if not isinstance(found, Column):
        raise refused("Encrypted", option, given, "a column or its name")
    return found


def settled(given: Any) -> Any:  # a name, or None, stays as it is
    """
    The key of a column, now that it has one.

    Raises:
        DeclarationError: it never got one.
    """
    if isinstance(given, Column):
        if not given.key:
            raise DeclarationError("a column in context= or dual= has no name: give its name")
        return Key(given.key)
    return given


def column_named(table: Table, name: Named, sealed: Column[Any] | None) -> Column[Any] | None:
    """
    The column of a key, else of a mapped attribute; None if there is neither.

    Args:
        table: where it stands.
        name: as it was given.
        sealed: the encrypted column whose option this is; it is not meant.

    Raises:
        DeclarationError: the name is one column's key and another's attribute.
    """
    asked: str = settled(name)
    found: Column[Any] | None = table.c.get(asked)
    key = None if isinstance(asked, Key) else _attributes.get(table, {}).get(asked)
    if key is None or (sealed is not None and key == sealed.key):
        return found
    mapped: Column[Any] = table.c[key]
    if found is not None and found is not mapped:
        raise DeclarationError(
            f"{table}: {asked!r} is the key of one column and the attribute of {mapped.key!r}; "
            "give the column itself, or a name that means one of them"
        )
    return mapped
