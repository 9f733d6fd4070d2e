"""
What the environment wants to see: ``include_name`` and ``include_object``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index as SchemaIndex
from sqlalchemy import MetaData, Table

from pgultra.integrations.alembic.operations import spelt
from pgultra.plan.compare import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext

    from pgultra.objects import Identity
    from pgultra.plan.compare import Plan

__all__ = ["within"]


def within(plan: Plan, context: AutogenContext, several: Sequence[MetaData], default: str) -> Plan:
    """
    Honour ``include_name`` and ``include_object`` for tables and for our own kinds.
    """
    return dataclasses.replace(
        plan,
        steps=tuple(step for step in plan.steps if _included(step, context, several, default)),
        conflicts=tuple(
            conflict
            for conflict in plan.conflicts
            if _included(Step(None, conflict.subject), context, several, default)
        ),
    )


def _included(
    step: Step, context: AutogenContext, several: Sequence[MetaData], default: str
) -> bool:
    identity, reflected = step.identity, step.after is None
    if reflected and not _named(identity, context):
        return False
    table = _table_of(identity, several, default)
    if table is not None and not context.run_object_filters(
        table, table.name, "table", False, None
    ):
        return False
    item: Any = step.subject
    if identity.kind == "index":
        item = _index_of(table, identity)
    kind: Any = identity.kind
    other: Any = None if step.before is None or reflected else step.before
    return context.run_object_filters(item, identity.name, kind, reflected, other)


def _named(identity: Identity, context: AutogenContext) -> bool:
    """
    Whether the names of schema, table and object pass, as those of reflected tables must.
    """
    if not context.run_name_filters(identity.schema, "schema", {}):
        return False
    parents: Any = {"schema_name": identity.schema}
    if identity.table is not None:
        if not context.run_name_filters(identity.table, "table", dict(parents)):
            return False
        parents["table_name"] = identity.table
    kind: Any = identity.kind
    return context.run_name_filters(identity.name, kind, parents)


def _table_of(identity: Identity, several: Sequence[MetaData], default: str) -> Table | None:
    """
    The table that an object sits on, if it is one of the models'.
    """
    schema = spelt(identity.schema, default)
    for metadata in several if identity.table is not None else ():
        for table in metadata.tables.values():
            if (spelt(table.schema, default), table.name) == (schema, identity.table):
                return table
    return None


def _index_of(table: Table | None, identity: Identity) -> SchemaIndex:
    """
    An index as hooks know it, with the table that it sits on.
    """
    if table is None:
        table = Table(str(identity.table), MetaData(), schema=identity.schema)
    found = next((each for each in table.indexes if each.name == identity.name), None)
    if found is None:
        found = SchemaIndex(identity.name)
        found.table = table
    return found
