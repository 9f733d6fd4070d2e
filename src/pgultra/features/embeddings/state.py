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
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    cast,
    func,
    literal,
    text,
)
from sqlalchemy.sql.elements import conv

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.embeddings.vector import VectorType
from pgultra.objects import Function, Identity, Trigger
from pgultra.plan import declarations, facts_of, function_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement

    from pgultra.objects import DatabaseObject

__all__ = [
    "attach_state",
    "body",
    "content",
    "hash_of",
    "make_state",
    "marking",
    "on_change",
    "side_constraints",
    "side_name",
    "state_objects",
    "state_table",
    "text_of",
]

SIDE_BYTES = 41
"""A longer name is cut by PostgreSQL 18 where it names that ``available_at`` is NOT NULL."""

BETWEEN = "\n\n"
"""What stands between two source columns in the text that is embedded."""


def state_name(column: Column[Any]) -> str:
    """
    ``<table>_<column>_state``; see ``side_name``.
    """
    return side_name(column.table.name, column.name, "state")


def side_name(*words: str) -> str:
    """
    Join words into the name of a side table.

    Where it has to be cut, it is cut so short that the names which PostgreSQL makes up of it
    keep the hash at its end; else they would be numbered in the order of creation.
    """
    name = sql.short_name(*words)
    if name == "_".join(words):
        return name
    tail = name[-9:]
    return name.encode()[: SIDE_BYTES - len(tail)].decode(errors="ignore") + tail


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
    return text_of(sources(column))


def text_of(columns: Sequence[Column[Any]]) -> ColumnElement[str]:
    """
    The texts of columns as one.
    """
    return func.concat_ws(literal(BETWEEN), *(cast(each, Text) for each in columns))


def hash_of(written: ColumnElement[str]) -> ColumnElement[bytes]:
    """
    SHA-256 of a text.
    """
    return func.sha256(func.convert_to(written, "UTF8"), type_=LargeBinary())


def attach_state(column: Column[Any]) -> None:
    """
    Add the side table to the MetaData, once.
    """
    table: Any = column.table
    if not _has_source(column) or not isinstance(table, Table):
        return
    make_state(table, state_name(column), f"stale rows of {column.key}")


def make_state(table: Table, name: str, what: str) -> None:
    """
    Add a side table that tells which rows of a table wait, once.

    Args:
        table: whose rows wait.
        name: of the side table.
        what: is noted there, for the error.
    """
    schema = f"{table.schema}." if table.schema else ""
    if f"{schema}{name}" in table.metadata.tables:
        return
    keys = list(table.primary_key)
    if not keys:
        raise DeclarationError(
            f"table {table.fullname} needs a primary key: {what} are noted by it"
        )
    own = [f"key_{number}" for number, _ in enumerate(keys)]
    state = Table(
        name,
        table.metadata,
        *(Column(mine, key.type, autoincrement=False) for mine, key in zip(own, keys, strict=True)),
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
        *side_constraints(name, own, keys),
        schema=table.schema,
    )
    Index(
        sql.short_name(name, "due"),
        state.c.available_at,
        postgresql_where=text("stale_since IS NOT NULL AND failed_at IS NULL"),
    )


def side_constraints(
    name: str, own: Sequence[str], keys: Sequence[Column[Any]]
) -> tuple[PrimaryKeyConstraint, ForeignKeyConstraint]:
    """
    The keys of a side table, by names that do not depend on what was made before it.

    PostgreSQL cuts the names that it makes up and counts those that are alike.
    """
    return (
        PrimaryKeyConstraint(*own, name=conv(sql.short_name(name, "pkey"))),
        ForeignKeyConstraint(
            own,
            keys,
            name=conv(sql.short_name(name, "fkey")),
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
    )


def _has_source(column: Column[Any]) -> bool:
    return isinstance(column.type, VectorType) and bool(column.type.source)


@cache
def body(name: str) -> str:
    """
    A function's body, from a file.
    """
    return (resources.files(__package__) / "sql" / f"{name}.sql").read_text()


def state_objects(column: Column[Any]) -> Iterator[DatabaseObject]:
    """
    The two shared functions and the two triggers that mark rows.
    """
    table: Any = column.table
    if not _has_source(column) or not isinstance(table, Table):
        return
    yield from marking(table, state_name(column), sources(column), (table.name, column.name))


def marking(
    table: Table, state: str, columns: Sequence[Column[Any]], words: tuple[str, ...]
) -> Iterator[DatabaseObject]:
    """
    What marks new and changed rows of a table in a side table.

    Args:
        table: whose rows are marked.
        state: the side table's name.
        columns: a change of these makes a row stale.
        words: the triggers' names begin with these.
    """
    needs = (Identity("table", table.schema, state),)
    arguments = (state, *(key.name for key in table.primary_key))
    for verb, options in (
        ("new", {"events": ("INSERT",), "level": "STATEMENT", "new_table": "pgultra_new"}),
        ("changed", on_change(columns)),
    ):
        function = function_name(table.metadata, "embeddings", f"mark_{verb}")
        yield Function(
            name=function,
            schema=table.schema,
            body=body(f"mark_{verb}"),
            settings=(("search_path", "pg_catalog, pg_temp"),),
        )
        yield Trigger(
            name=sql.short_name(*words, verb),
            table=table.name,
            schema=table.schema,
            timing="AFTER",
            function=function,
            arguments=arguments,
            requires=needs,
            **options,
        )


def on_change(columns: Sequence[Column[Any]]) -> dict[str, Any]:
    """
    The options of a trigger that fires where one of the columns differs.
    """
    names = [each.name for each in columns]
    changed = " OR ".join(
        f"old.{sql.identifier(name)} IS DISTINCT FROM new.{sql.identifier(name)}" for name in names
    )
    return {"events": ("UPDATE",), "columns": tuple(names), "when": changed}
