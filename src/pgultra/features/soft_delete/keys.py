"""
Cascades of tables that no class is mapped to: the option names the children's foreign keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKeyConstraint, MetaData, Table

from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.soft_delete.options import SoftDeleteOptions

__all__ = ["cascades"]


def cascades(
    table: Table, rules: SoftDeleteOptions
) -> Iterator[tuple[Table, list[tuple[Column[Any], Column[Any]]]]]:
    """
    For a table that no class is mapped to: the foreign keys that ``cascade`` names.
    """
    if rules.cascade == "orm":
        return
    place = f"table {table.fullname}: option cascade={rules.cascade!r}"
    for entry in rules.cascade:
        column: Any = entry if isinstance(entry, Column) else _column(table.metadata, entry)
        if column is None or column.table.metadata is not table.metadata:
            column = _column(table.metadata, str(entry), table.schema)
        key = _key_to(column, table) if column is not None else None
        if key is None:
            raise DeclarationError(
                f"{place}: {entry!s} is not a foreign key to this table: name the child's column, "
                "as in cascade=('comment.article_id',)"
            )
        yield (
            column.table,
            [(element.column, element.parent) for element in key.elements],
        )


def _column(metadata: MetaData, name: str, schema: str | None = None) -> Column[Any] | None:
    table_name, _, column_name = str(name).rpartition(".")
    table = metadata.tables.get(table_name)
    if table is None and schema is not None:
        table = metadata.tables.get(f"{schema}.{table_name}")
    return table.columns.get(column_name) if table is not None else None


def _key_to(column: Column[Any], table: Table) -> ForeignKeyConstraint | None:
    for foreign_key in column.foreign_keys:
        constraint = foreign_key.constraint
        if constraint is not None and constraint.referred_table is table:
            return constraint
    return None
