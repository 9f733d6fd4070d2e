"""
From a vector to the objects that keep it: an expression, or a function and its triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql import CITEXT

from pgultra import sql
from pgultra.features.search.related import PATH
from pgultra.features.search.settings import is_equal_as_text
from pgultra.objects import Advice, Function, Identity, Index, Trigger
from pgultra.objects.generation import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy

    from pgultra.features.search.vector import Vector
    from pgultra.objects import DatabaseObject

__all__ = ["advice_of", "trigger_names", "vector_objects"]

FILL = """then, for the rows that were there before, which have an old vector or none:
pgultra.search.backfill(connection, {column})"""

GATHERING = """    EXECUTE format({query}, TG_TABLE_SCHEMA) INTO related_{number} USING {keys};
"""
BODY = """{declarations}BEGIN
{gathering}    NEW.{column} := {expression};
    RETURN NEW;
END"""


def vector_objects(
    vector: Vector, *, generated: bool, index: sqlalchemy.Index | None, concurrently: bool
) -> Iterator[DatabaseObject]:
    """
    What keeps one vector of one table.

    Args:
        vector: which one.
        generated: by a generated column, or by triggers.
        index: the GIN index, if there is one.
        concurrently: how its migration builds it.
    """
    indexes = () if index is None else (Index.of(index, concurrently=concurrently),)
    yield from indexes
    yield Generation(
        name=vector.column.name,
        table=vector.table.name,
        schema=vector.table.schema,
        type="tsvector",
        expression=vector.expression() if generated else None,
        indexes=indexes,
    )
    if not generated:
        yield _function(vector)
        yield from _triggers(vector)
        for chain in vector.chains:
            yield from chain.objects(vector.column.name)


def trigger_names(vector: Vector) -> tuple[str, str, str]:
    """
    The triggers on the vector's own table: at INSERT, at UPDATE of a part, at a write to it.
    """
    table, column = vector.table.name, vector.column.name
    insert, update, write = (
        sql.short_name(table, column, "search", event) for event in ("insert", "update", "write")
    )
    return insert, update, write


def advice_of(vector: Vector, text: str) -> Advice:
    """
    What is left to do for rows that are there already.

    Args:
        vector: whose rows.
        text: with ``{column}`` where Python names the vector.
    """
    table = vector.table
    named = f"metadata.tables[{table.key!r}].c[{vector.column.key!r}]"
    return Advice(Identity("table", table.schema, table.name), text.format(column=named))


def _function(vector: Vector) -> Function:
    declarations = [f"related_{n} text;" for n, _ in enumerate(vector.chains, start=1)]
    configuration = None
    if vector.language is not None:
        configuration = "configuration"
        declarations.append(f"configuration CONSTANT regconfig := {vector.regconfig('NEW.')};")
    gathering = "".join(
        GATHERING.format(
            query=sql.literal(chain.gather()),
            number=number,
            keys=", ".join(f"NEW.{sql.identifier(name)}" for name, _ in chain.up),
        )
        for number, chain in enumerate(vector.chains, start=1)
    )
    return Function(
        name=_function_name(vector),
        schema=vector.table.schema,
        body=BODY.format(
            declarations="".join(f"DECLARE {line}\n" for line in declarations[:1])
            + "".join(f"    {line}\n" for line in declarations[1:]),
            gathering=gathering,
            column=sql.identifier(vector.column.name),
            expression=vector.expression("NEW.", configuration),
        ),
        settings=(*PATH, *vector.settings),
        advice=advice_of(vector, FILL),
    )


def _function_name(vector: Vector) -> str:
    return sql.short_name(vector.table.name, vector.column.name, "search")


def _triggers(vector: Vector) -> Iterator[Trigger]:
    insert, update, write = trigger_names(vector)
    shared: dict[str, Any] = {
        "table": vector.table.name,
        "schema": vector.table.schema,
        "timing": "BEFORE",
        "function": _function_name(vector),
    }
    yield Trigger(name=insert, events=("INSERT",), **shared)
    if vector.columns:
        changed = [_distinct(vector, name) for name in vector.columns]
        yield Trigger(
            name=update,
            events=("UPDATE",),
            columns=vector.columns,
            when=" OR ".join(changed),
            **shared,
        )
    column = vector.column.name
    yield Trigger(
        name=write,
        events=("UPDATE",),
        columns=(column,),
        when=_distinct(vector, column),
        **shared,
    )


def _distinct(vector: Vector, name: str) -> str:
    [column] = (each for each in vector.table.columns if each.name == name)
    cast = ""
    if not is_equal_as_text(column.type):
        cast = '::text COLLATE "C"' if isinstance(column.type, CITEXT) else "::text"
    elif getattr(column.type, "collation", None):
        cast = ' COLLATE "C"'  # some collations take cafe and café for the same
    name = sql.identifier(name)
    return f"OLD.{name}{cast} IS DISTINCT FROM NEW.{name}{cast}"
