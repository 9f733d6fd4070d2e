"""
From MetaData to State: what the models declare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table
from sqlalchemy.schema import BLANK_SCHEMA

from pgultra.errors import DeclarationError
from pgultra.objects import DatabaseObject, Index, Partitioning, Trigger
from pgultra.plan.declare import (
    APPLICATION,
    BY_HAND,
    application_of,
    declarations,
    entries,
    facts_of,
    page_of,
)
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["collect"]


def collect(metadata: MetaData) -> State:
    """
    Derive every declared object from the tables as they are now.

    Raises:
        DeclarationError: two different objects with one identity, or a declaration that
            its table cannot honour.
    """
    application = application_of(metadata)
    return State(each.owned(application, room) for room, each in _objects(metadata))


def _objects(metadata: MetaData) -> Iterator[tuple[str, DatabaseObject]]:
    for target, declaration in entries(metadata):
        if isinstance(declaration, DatabaseObject):
            yield BY_HAND, on_its_table(metadata, declaration)
        else:
            for each in declaration.objects(target):
                yield declaration.room, on_its_table(metadata, each)


def on_its_table(metadata: MetaData, each: DatabaseObject) -> DatabaseObject:
    """
    A trigger or an index that knows its partitioned table, which the room need not know.
    """
    if isinstance(each, Trigger) and each.level != "ROW":
        table = _table_of(metadata, each)
        divided = table is not None and table.dialect_options["postgresql"]["partition_by"]
        return each.but(divided=True) if divided else each
    if isinstance(each, Index) and each.only:
        table = _table_of(metadata, each)
        return each if table is None or is_managed(table) else each.but(only=False)
    return each


def _table_of(metadata: MetaData, each: Trigger | Index) -> Table | None:
    name = each.table if each.schema is None else f"{each.schema}.{each.table}"
    return metadata.tables.get(name)


def is_managed(table: Table) -> bool:
    """
    Whether the models declare its partitions, so that maintenance builds their indexes.
    """
    by_hand = any(isinstance(each, Partitioning) for each in declarations(table))
    return by_hand or bool(facts_of(table).partition_key)


def is_translated(metadata: MetaData, schemas: Mapping[str | None, str | None]) -> bool:
    """
    Whether ``schema_translate_map`` says anything of these tables and objects.
    """
    named = {table.schema for table in metadata.tables.values()}
    named |= {each.schema for _, each in entries(metadata) if isinstance(each, DatabaseObject)}
    return any(schemas.get(schema, schema) != schema for schema in named)


def _referred(schemas: Mapping[str | None, str | None], schema: str | None) -> Any:
    """
    As ``to_metadata`` wants it, to which None means "as it was".
    """
    found = schemas.get(schema, schema)
    return BLANK_SCHEMA if found is None else found


def translated(metadata: MetaData, schemas: Mapping[str | None, str | None]) -> MetaData:
    """
    A copy for ``schema_translate_map``: the same declarations on tables of other schemas.

    Raises:
        DeclarationError: an object was declared by hand; its text cannot be translated.
    """
    copy = MetaData(info={APPLICATION: application_of(metadata)})
    moved: dict[str, Table] = {}
    for table in metadata.tables.values():
        schema = schemas.get(table.schema, table.schema)
        twin = table.to_metadata(
            copy,
            schema=schema,  # type: ignore[arg-type]  # None is a schema here: the default one
            referred_schema_fn=lambda _t, _to, _k, referred: _referred(schemas, referred),
        )
        moved[table.key] = twin
    for target, declaration in entries(metadata):
        if isinstance(declaration, DatabaseObject):
            if declaration.identity.kind in ("schema", "extension"):
                continue
            raise DeclarationError(
                f"{declaration.identity} was declared by hand and cannot follow "
                "schema_translate_map: its text names schemas that SQLAlchemy does not see. "
                "Declare it on a MetaData of its own, or set the search_path instead of "
                "schema_translate_map"
            )
        place = moved[target.key] if isinstance(target, Table) else None
        page_of(copy, place, new=True).append(declaration)
    return copy
