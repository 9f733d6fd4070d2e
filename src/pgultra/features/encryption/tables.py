"""
What a table has of encrypted columns; looked up once, since every statement asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from pgultra.features.encryption.comparator import is_encrypted
from pgultra.features.encryption.context import columns_of, plain_column
from pgultra.features.encryption.judging import judge_defaults
from pgultra.features.encryption.naming import column_named

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from pgultra.features.encryption.model import Encrypted

__all__ = ["Secrets", "column_key", "secrets_of", "type_of"]


class Secrets(NamedTuple):
    """
    The encrypted columns of a table.

    Attributes:
        size: how many columns the table had: a class that shares it may add some later.
        columns: all of them.
        bound: those with a context, each with its context columns.
        doubled: those that replace a plaintext, each with the plain column.
    """

    size: int
    columns: tuple[Column[Any], ...]
    bound: tuple[tuple[Column[Any], list[Column[Any]]], ...]
    doubled: tuple[tuple[Column[Any], Column[Any]], ...]


_known: WeakKeyDictionary[Table, Secrets] = WeakKeyDictionary()


def secrets_of(table: Table) -> Secrets:
    """
    What a table has.

    Raises:
        DeclarationError: an option of a column names what is not there, or cannot serve.
    """
    known = _known.get(table)
    if known is None or known.size != len(table.columns):
        columns = tuple(column for column in table.columns if is_encrypted(column.type))
        for column in columns:
            judge_defaults(column)
        known = _known[table] = Secrets(
            len(table.columns),
            columns,
            tuple(
                (each, columns_of(of, table)) for each in columns if (of := type_of(each)).context
            ),
            tuple(
                (each, plain_column(of, table)) for each in columns if (of := type_of(each)).dual
            ),
        )
    return known


def type_of(column: Column[Any]) -> Encrypted:
    """
    The type of an encrypted column.
    """
    return column.type  # type: ignore[return-value]  # our own type


def column_key(table: Table, name: Any) -> str:
    """
    The key of the column that a statement names by itself, by key or by mapped attribute.
    """
    key = str(getattr(name, "key", name))
    if key in table.c:
        return key
    found = column_named(table, key, None)
    return key if found is None else str(found.key)
