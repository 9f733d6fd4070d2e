"""
The state of embeddings: a side table for each column with sources, and what keeps it true.

A row is stale from the moment its source text changes until a vector made of that very text
is written. The host's table gets no columns for it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    DateTime,
    Enum,
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
from sqlalchemy.types import NullType

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.features.embeddings.vector import VectorType
from pgultra.objects import Advice, Function, Identity, Trigger
from pgultra.plan import declarations, facts_of, function_name
from pgultra.plan.followers import FOLLOWER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from pgultra.objects import DatabaseObject

__all__ = [
    "attach_state",
    "body",
    "content",
    "has_source",
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

EXACT = re.compile(
    r"(TEXT|VARCHAR|CHAR|SMALLINT|INTEGER|BIGINT|BOOLEAN|UUID|BYTEA|DATE|TIMESTAMP)"
    r"( ?\(\d+\))?( WITH(OUT)? TIME ZONE)?"
)
"""Types without a collation of their own whose equal values have equal texts."""

SIDE_BYTES = 41
"""A longer name is cut by PostgreSQL 18 where it names that ``available_at`` is NOT NULL."""

NOTE = """then, for the rows that were there before, which wait in no queue:
pgultra.embeddings.backfill(connection, {column}, everything=True)"""

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
    if not has_source(column) or not isinstance(table, Table):
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
    keys = list(table.primary_key)
    there = table.metadata.tables.get(f"{schema}{name}")
    if there is not None:
        _insist_on_host(there, table, what)
        return
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
        info=dict(FOLLOWER),
    )
    Index(
        sql.short_name(name, "due"),
        state.c.available_at,
        postgresql_where=text("stale_since IS NOT NULL AND failed_at IS NULL"),
    )


def _insist_on_host(there: Table, table: Table, what: str) -> None:
    """
    Refuse a table of the side table's name that belongs to something else.
    """
    host = {f"{table.fullname}.{key.key}" for key in table.primary_key}
    if any({e.target_fullname for e in f.elements} == host for f in there.foreign_key_constraints):
        return
    raise DeclarationError(
        f"table {table.fullname}: {what} are noted in a table named {there.fullname}, and there is "
        "one that belongs to something else: rename the column, or one of the tables"
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


def has_source(column: Column[Any]) -> bool:
    """
    Whether it is a vector that a worker makes.
    """
    return isinstance(column.type, VectorType) and bool(column.type.source)


@cache
def body(name: str) -> str:
    """
    A function's body, from a file; ``-- home.sql`` stands for what tells the schema.
    """
    folder = resources.files(__package__) / "sql"
    home = (folder / "home.sql").read_text()
    return (folder / f"{name}.sql").read_text().replace("    -- home.sql\n", home)


def state_objects(column: Column[Any]) -> Iterator[DatabaseObject]:
    """
    The triggers that mark rows, and their functions.
    """
    table: Any = column.table
    if not has_source(column) or not isinstance(table, Table):
        return
    words = (table.name, column.name)
    yield from marking(table, state_name(column), sources(column), words, filled=column)


def marking(
    table: Table,
    state: str,
    columns: Sequence[Column[Any]],
    words: tuple[str, ...],
    chunks: tuple[str, ...] = ("", "", ""),
    references: Mapping[str, str] | None = None,
    filled: Column[Any] | None = None,
) -> Iterator[DatabaseObject]:
    """
    What marks new and changed rows of a table in a side table.

    Args:
        table: whose rows are marked.
        state: the side table's name.
        columns: a change of these makes a row stale.
        words: the triggers' names begin with these.
        chunks: a table whose rows go with a row that moves to another partition, its schema,
            and ``hard`` if they are deleted softly.
        references: from columns of the primary key to those of the chunk table.
        filled: the vector that ``backfill`` is called with for rows that were there before.
    """
    # Both for every table: a conversion to partitions makes triggers, and no functions.
    functions = {
        verb: Function(
            name=function_name(table.metadata, "embeddings", f"mark_{verb}"),
            schema=table.schema,
            body=body(f"mark_{verb}"),
            settings=(("search_path", "pg_catalog, pg_temp"),),
        )
        for verb in ("new", "changed")
    }
    yield from functions.values()
    names = [key.name for key in table.primary_key]
    keys = (state, *names)
    made: list[tuple[str, str, tuple[str, ...], dict[str, Any]]] = [
        (sql.short_name(*words, "changed"), "changed", keys, on_change(columns))
    ]
    # PostgreSQL hands on to partitions the triggers of rows, and not those of statements.
    if table.dialect_options["postgresql"].get("partition_by"):
        pairs = [n for name in names for n in (name, (references or {}).get(name, ""))]
        made += [
            # Not "…_new": neither of the two can replace the other in place.
            (sql.short_name(*words, "added"), "changed", keys, {"events": ("INSERT",)}),
            # The name sorts after RI_, as those of foreign keys' triggers begin.
            (
                sql.short_name("moved", *words),
                "changed",
                (state, *chunks, *pairs),
                {"events": ("DELETE",)},
            ),
        ]
    else:
        once = {"events": ("INSERT",), "level": "STATEMENT", "new_table": "pgultra_new"}
        made.append((sql.short_name(*words, "new"), "new", keys, once))
    for name, verb, arguments, options in made:
        yield Trigger(
            name=name,
            table=table.name,
            schema=table.schema,
            timing="AFTER",
            function=functions[verb].name,
            arguments=arguments,
            requires=(Identity("table", table.schema, state),),
            advice=_advice(table, filled) if name == made[0][0] else None,
            **options,
        )


def _advice(table: Table, filled: Column[Any] | None) -> Advice | None:
    if filled is None:
        return None
    column = f"metadata.tables[{filled.table.key!r}].c[{filled.key!r}]"
    return Advice(Identity("table", table.schema, table.name), NOTE.format(column=column))


def on_change(columns: Sequence[Column[Any]]) -> dict[str, Any]:
    """
    The options of a trigger that fires where the text of one of the columns differs.

    It is no ``UPDATE OF``: a trigger of the host's may change a column that no UPDATE names.
    """
    changed = " OR ".join(
        f"old.{each} IS DISTINCT FROM new.{each}" for each in map(_as_text, columns)
    )
    return {"events": ("UPDATE",), "when": changed}


def _as_text(column: Column[Any]) -> str:
    """
    A column, or its text where values that are equal may have another text, or have no ``=``.
    """
    name, type_ = sql.identifier(column.name), column.type
    exact = isinstance(type_, Enum) or (
        not isinstance(type_, NullType) and EXACT.fullmatch(type_.compile(dialect=sql.dialect()))
    )
    return name if exact else f'{name}::text COLLATE "C"'
