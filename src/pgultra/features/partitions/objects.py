"""
The database side of a partitioned table: the functions, and the table's registration.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pgultra.features.partitions.registration import registered, registration_name
from pgultra.objects import Function, Partitioning
from pgultra.plan.declare import application_of, function_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa
    from sqlalchemy import MetaData

    from pgultra.features.partitions.rules import Rules
    from pgultra.objects import DatabaseObject

__all__ = ["objects", "premake_function"]

ROOM = "partitions"
CELLS = "        -- cells.sql\n"
"""Where the partitions of a grid are found out: a file of its own."""
RIGHTS = "                -- rights.sql\n"
"""Where a new table loses what its parent does not give; tables that are attached do, too."""


def objects(table: sa.Table, rules: Rules) -> Iterator[DatabaseObject]:
    """
    Derive what a partitioned table has in the database beside itself.
    """
    premake = premake_function(table.metadata, table.schema)
    text = registered(table, rules, application_of(table.metadata), premake.name)
    registration = Function(
        name=registration_name(table),
        schema=table.schema,
        returns="jsonb",
        language="sql",
        volatility="immutable",
        parallel="safe",
        body=f"SELECT $rules${text}$rules$::pg_catalog.jsonb",
    )
    yield premake
    yield registration
    yield Partitioning(
        name=registration.name,
        table=table.name,
        schema=table.schema,
        strategy=rules.strategy,
        key=(rules.key_column(table).name,),
        rules=text,
        premake=premake.name,
        requires=(premake.identity, registration.identity),
    )


def premake_function(metadata: MetaData, schema: str | None) -> Function:
    """
    The function that makes missing partitions; one for all tables of a schema.
    """
    return Function(
        name=function_name(metadata, ROOM, "premake"),
        schema=schema,
        arguments="parent regclass, rules jsonb, moment timestamptz DEFAULT now()",
        returns="text[]",
        body=_body(),
        settings=(
            ("search_path", "pg_catalog, pg_temp"),
            ("TimeZone", "'UTC'"),
            ("DateStyle", "'ISO'"),
        ),
    )


@cache
def _body() -> str:
    folder = files(__package__) / "sql"
    text = (folder / "premake.sql").read_text()
    for marker, name in ((CELLS, "cells.sql"), (RIGHTS, "rights.sql")):
        text = text.replace(marker, (folder / name).read_text())
    return text
