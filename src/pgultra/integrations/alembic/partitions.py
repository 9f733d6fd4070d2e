"""
Partitions at Alembic's door: made by maintenance, so never "removed tables".

Before Alembic looks at the database, the names of partitions are taken out of its sight: those
of the models' partitioned tables, at every level, and tables that bear the room's mark (what was
detached or archived, what a conversion keeps). They are known by the catalog and by their mark; a
table that merely looks like one of them is Alembic's as before. So are the partitions of other
tables, but for those that pg_partman manages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.autogenerate import comparators
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import MetaData

from pgultra.objects._catalog import rows
from pgultra.plan.declare import application_of, facts_of, is_declared
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import Connection

__all__ = ["hidden_tables"]

HIDDEN = """
WITH RECURSIVE parent AS (
    SELECT c.oid
    FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (nspname, relname)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.nspname
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname
), tree AS (
    SELECT i.inhrelid AS oid
    FROM pg_catalog.pg_inherits AS i
    JOIN parent AS p ON p.oid = i.inhparent
    UNION
    SELECT i.inhrelid
    FROM pg_catalog.pg_inherits AS i
    JOIN tree AS t ON t.oid = i.inhparent
), marked AS (
    SELECT d.objoid AS oid
    FROM pg_catalog.pg_description AS d
    WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
        AND pg_catalog.split_part(d.description, E'\\n', -1) = ANY (:marks)
)
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT t.oid FROM tree AS t UNION SELECT m.oid FROM marked AS m)
    AND c.relkind IN ('r', 'p', 'f')
"""


def hidden_tables(
    connection: Connection, several: list[MetaData], default: str
) -> frozenset[tuple[str, str]]:
    """
    Schema and name of the tables that Alembic shall not see.
    """
    tables = [table for each in several for table in each.tables.values()]
    parents = [
        (table.schema or default, table.name)
        for table in tables
        if is_declared(table.metadata) and facts_of(table).partition_key
    ]
    found = rows(
        connection,
        HIDDEN,
        schemas=[schema for schema, _ in parents],
        names=[name for _, name in parents],
        marks=[f"pgultra:{application_of(each)}:partitions" for each in several],
    )
    mapped = {(table.schema or default, table.name) for table in tables}
    return frozenset((row.nspname, row.relname) for row in found) - mapped


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST, subgroup="pgultra")
def _hide(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """
    Add a name filter beside those of the environment.
    """
    given = context.metadata
    several = [given] if isinstance(given, MetaData) else list(given or ())
    connection: Any = context.connection
    if several and connection is not None and connection.dialect.name == "postgresql":
        default = home_of(connection, several)
        hidden = hidden_tables(connection, several, default)
        if hidden:
            own = connection.dialect.default_schema_name

            def is_seen(name: str | None, kind: str, parents: Any) -> bool:
                schema = parents.get("schema_name") or own
                return kind != "table" or (schema, name) not in hidden

            context._name_filters.append(is_seen)
    return PriorityDispatchResult.CONTINUE
