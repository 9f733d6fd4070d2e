"""
The state of embeddings: a side table for each column with sources, and what keeps it true.

A row is stale from the moment its source text changes until a vector made of that very text
is written. The host's table gets no columns for it.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    cast,
    func,
    literal,
    text,
)

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.embeddings.vector import VectorType
from pgultra.objects import Function, Identity, Trigger
from pgultra.plan import declarations, facts_of, function_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement

    from pgultra.objects import DatabaseObject

__all__ = ["attach_state", "content", "content_hash", "state_objects", "state_table"]

BETWEEN = "\n\n"
"""What stands between two source columns in the text that is embedded."""


def state_name(column: Column[Any]) -> str:
    """
    ``<table>_<column>_state``, within 63 bytes.
    """
    return sql.short_name(column.table.name, column.name, "state")


def state_table(column: Column[Any]) -> Table:
    """
    The side table of a vector column.

    Raises:
        DeclarationError: the column declares no source.
    """
    table: Any = column.table
    schema = f"{table.schema}." if table.schema else ""
    found = table.metadata.tables.get(f"{schema}{state_name(column)}")
    if found is None:
        raise DeclarationError(
            f"column {column} has no source, so nothing tells when it is stale: "
            "Embedding(…, source=('title', 'body'))"
        )
    state: Table = found
    return state


def sources(column: Column[Any]) -> list[Column[Any]]:
    """
    The columns whose text is embedded.

    Raises:
        DeclarationError: a source is no column, or is secret.
    """
    table: Any = column.table
    type_: Any = column.type
    found = []
    secret = facts_of(table).secret_columns
    spelt = [
        getattr(each, "source", ())  # a mapped attribute may have another name than its column
        for each in declarations(table)
        if getattr(each, "room", "") == "embeddings" and getattr(each, "column", "") == column.key
    ]
    for name in next(filter(None, spelt), type_.source):
        each = table.c.get(name)
        if each is None:
            raise DeclarationError(
                f"table {table.fullname} has no column {name!r}, which Embedding names as a "
                f"source of {column.key}"
            )
        if each.name in secret or each.key in secret:
            raise DeclarationError(
                f"column {each} is secret, and an embedding tells of its text: take it out of "
                f"the sources of {column.key}"
            )
        found.append(each)
    return found


def content(column: Column[Any]) -> ColumnElement[str]:
    """
    The text that is embedded: the sources that are not NULL, a blank line between them.
    """
    return func.concat_ws(literal(BETWEEN), *(cast(each, Text) for each in sources(column)))


def content_hash(column: Column[Any]) -> ColumnElement[bytes]:
    """
    SHA-256 of the text.
    """
    return func.sha256(func.convert_to(content(column), "UTF8"), type_=LargeBinary())


def attach_state(column: Column[Any]) -> None:
    """
    Add the side table to the MetaData, once.
    """
    table: Any = column.table
    if not _has_source(column) or not isinstance(table, Table):
        return
    name = state_name(column)
    schema = f"{table.schema}." if table.schema else ""
    if f"{schema}{name}" in table.metadata.tables:
        return
    keys = list(table.primary_key)
    if not keys:
        raise DeclarationError(
            f"table {table.fullname} needs a primary key: stale rows of {column.key} are noted "
            "by it"
        )
    own = [f"key_{number}" for number, _ in enumerate(keys)]
    state = Table(
        name,
        table.metadata,
        *(
            Column(mine, key.type, primary_key=True, autoincrement=False)
            for mine, key in zip(own, keys, strict=True)
        ),
        Column("stale_since", DateTime(timezone=True)),
        Column(
            "available_at", DateTime(timezone=True), nullable=False, server_default=text("now()")
        ),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("lease", Uuid),
        Column("error", Text),
        Column("failed_at", DateTime(timezone=True)),
        Column("content_hash", LargeBinary),
        Column("model", Text),
        Column("embedded_at", DateTime(timezone=True)),
        ForeignKeyConstraint(own, keys, ondelete="CASCADE", onupdate="CASCADE"),
        schema=table.schema,
    )
    Index(
        sql.short_name(name, "due"),
        state.c.available_at,
        postgresql_where=text("stale_since IS NOT NULL AND failed_at IS NULL"),
    )


def _has_source(column: Column[Any]) -> bool:
    return isinstance(column.type, VectorType) and bool(column.type.source)


@cache
def _body(name: str) -> str:
    return (resources.files(__package__) / "sql" / f"{name}.sql").read_text()


def state_objects(column: Column[Any]) -> Iterator[DatabaseObject]:
    """
    The two shared functions and the two triggers that mark rows.
    """
    table: Any = column.table
    if not _has_source(column) or not isinstance(table, Table):
        return
    state = state_name(column)
    needs = (Identity("table", table.schema, state),)
    arguments = (state, *(key.name for key in table.primary_key))
    names = [each.name for each in sources(column)]
    changed = " OR ".join(
        f"old.{sql.identifier(name)} IS DISTINCT FROM new.{sql.identifier(name)}" for name in names
    )
    for verb, options in (
        ("new", {"events": ("INSERT",), "level": "STATEMENT", "new_table": "pgultra_new"}),
        ("changed", {"events": ("UPDATE",), "columns": tuple(names), "when": changed}),
    ):
        function = function_name(table.metadata, "embeddings", f"mark_{verb}")
        yield Function(
            name=function,
            schema=table.schema,
            body=_body(f"mark_{verb}"),
            settings=(("search_path", "pg_catalog, pg_temp"),),
        )
        yield Trigger(
            name=sql.short_name(table.name, column.name, verb),
            table=table.name,
            schema=table.schema,
            timing="AFTER",
            function=function,
            arguments=arguments,
            requires=needs,
            **options,  # type: ignore[arg-type]
        )
