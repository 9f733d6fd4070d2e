"""
From a table with encrypted columns to indexes, and to what the kernel must know.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pgultra import plan, sql
from pgultra.features.encryption.context import columns_of, plain_column
from pgultra.features.encryption.format import key_expression, tag_expression
from pgultra.features.encryption.judging import judge_unique
from pgultra.objects import Function, Index, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, ColumnElement, Table

    from pgultra.objects import DatabaseObject

__all__ = ["SecretColumn"]


@dataclass(frozen=True)
class SecretColumn:
    """
    The declaration that an encrypted column makes on its table.

    Attributes:
        column: the column's key.
    """

    column: str
    room = "encryption"

    def facts(self, table: Table) -> plan.Facts:
        """
        The column is secret: not for logs, feeds or other tables.
        """
        column = table.c[self.column]
        dual = getattr(column.type, "dual", None)
        return plan.Facts(
            secret_columns=frozenset({column.name}),
            before_update_triggers=(_trigger_name(column),) if dual else (),
        )

    def objects(self, table: Table) -> Iterator[DatabaseObject]:
        """
        An index over key numbers, and one for each key of the blind index.
        """
        column = table.c[self.column]
        type_: Any = column.type
        if getattr(type_, "seals", False):
            judge_unique(column, table)
        search = getattr(type_, "search", None)
        if getattr(type_, "context", ()):
            columns_of(type_, table)  # they are there
        if getattr(type_, "dual", None):
            yield from _adopting(column, plain_column(type_, table).name)
        if getattr(type_, "index_keys", False):
            yield _index(column, key_expression(column), "key")
        if search is None:
            return
        for key in search.keys:
            tag = tag_expression(column, key, search.size)
            yield _index(column, tag, search.kind, str(key), unique=search.unique)


def _trigger_name(column: Column[Any]) -> str:
    return sql.short_name(column.table.name, column.name, "adopting")


def _adopting(column: Column[Any], plain: str) -> Iterator[DatabaseObject]:
    """
    While a plaintext is being replaced: what was sealed of it goes when it changes.
    """
    table = column.table
    name = plan.function_name(table.metadata, "encryption", "adopting")
    body = files(__package__).joinpath("sql/adopting.sql").read_text()
    yield Function(name=name, schema=table.schema, body=body)
    yield Trigger(
        name=_trigger_name(column),
        table=table.name,
        schema=table.schema,
        timing="BEFORE",
        events=("UPDATE",),
        columns=(plain,),
        level="ROW",
        function=name,
        arguments=(column.name, plain),
    )


def _index(
    column: Column[Any], expression: ColumnElement[Any], *words: str, unique: bool = False
) -> Index:
    table = column.table
    facts = plan.facts_of(table)
    text = f"({sql.render(expression, include_table=False)})"
    keys = [*map(sql.identifier, facts.partition_key), text] if unique else [text]
    live = f" WHERE {facts.live.text()}" if unique and facts.live is not None else ""
    return Index(
        name=sql.short_name(table.name, column.name, *words),
        table=table.name,
        schema=table.schema,
        unique=unique,
        definition=f"USING btree ({', '.join(keys)}){live}",
    )
