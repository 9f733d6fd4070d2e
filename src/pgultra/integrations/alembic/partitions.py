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

from alembic.autogenerate import comparators, renderers
from alembic.operations import MigrateOperation, Operations, ops
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import MetaData

from pgultra import sql
from pgultra.objects import Index, Partitioning
from pgultra.objects._catalog import rows
from pgultra.plan.declare import application_of, declarations, facts_of, is_declared
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import Connection, Table

__all__ = ["CreateIndexOnlyOp", "hidden_tables"]

ANY_AT_ALL = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table)
    OR EXISTS (SELECT FROM pg_catalog.pg_description AS d
        WHERE d.objoid >= 16384 AND d.classoid = 'pg_catalog.pg_class'::regclass
            AND d.objsubid = 0 AND d.description LIKE :marks) AS here
"""
"""Most databases have none, and shall not pay for a closer look; initdb's are below 16384."""

HIDDEN = """
WITH RECURSIVE parent AS (
    SELECT c.oid
    FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (nspname, relname)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.nspname
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname
    UNION
    SELECT c.oid -- tables that the models do not have any more, and whose rules still stand
    FROM pg_catalog.pg_description AS d
    JOIN pg_catalog.pg_proc AS r ON r.oid = d.objoid
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = r.pronamespace
        AND c.relname = pg_catalog.split_part(r.prosrc, '$rules$', 2)::jsonb ->> 'table'
    WHERE d.classoid = 'pg_catalog.pg_proc'::regclass AND d.objsubid = 0
        AND pg_catalog.split_part(d.description, E'\n', -1) LIKE ANY (:applications)
        AND r.prosrc LIKE 'SELECT $rules${%}$rules$::pg_catalog.jsonb'
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
DIVIDED = """
SELECT n.nspname, c.relname, pg_catalog.pg_get_partkeydef(c.oid) AS clause
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'p'
"""
CLONES = """
SELECT n.nspname, c.relname, k.conname
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid <> 0
"""
"""What PostgreSQL makes of a foreign key to a partitioned table: one more for each partition."""


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
        if is_declared(table.metadata) and _is_divided(table)
    ]
    from pgultra.features.partitions.partman import managed_by_partman  # here are partitions

    parents += managed_by_partman(connection)
    applications = sorted(set(map(application_of, several)))
    found = rows(
        connection,
        HIDDEN,
        schemas=[schema for schema, _ in parents],
        names=[name for _, name in parents],
        marks=[f"pgultra:{application}:partitions" for application in applications],
        applications=["pgultra:" + each.replace("_", r"\_") + ":%" for each in applications],
    )
    mapped = {(table.schema or default, table.name) for table in tables}
    return frozenset((row.nspname, row.relname) for row in found) - mapped


def _is_divided(table: Table) -> bool:
    by_hand = any(isinstance(each, Partitioning) for each in declarations(table))
    return by_hand or bool(facts_of(table).partition_key)


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.FIRST, subgroup="pgultra")
def _hide(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """
    Add a name filter beside those of the environment.
    """
    given = context.metadata
    several = [given] if isinstance(given, MetaData) else list(given or ())
    connection: Any = context.connection
    if not several or connection is None or connection.dialect.name != "postgresql":
        return PriorityDispatchResult.CONTINUE
    if rows(connection, ANY_AT_ALL, marks="%pgultra:%:partitions%")[0].here:
        own = connection.dialect.default_schema_name
        clones = {(row.nspname, row.relname, row.conname) for row in rows(connection, CLONES)}
        if clones:
            _leave_out(clones, context.inspector, own)
        hidden = hidden_tables(connection, several, home_of(connection, several))
        if hidden:

            def is_seen(name: str | None, kind: str, parents: Any) -> bool:
                schema = parents.get("schema_name") or own
                return kind != "table" or (schema, name) not in hidden

            context._name_filters.append(is_seen)
    return PriorityDispatchResult.CONTINUE


def _leave_out(clones: set[tuple[str, str, str]], inspector: Any, default: str) -> None:
    """
    Let an Inspector forget the foreign keys that PostgreSQL keeps for single partitions.

    SQLAlchemy reflects them beside the one that was declared.
    """
    one, many = inspector.get_foreign_keys, inspector.get_multi_foreign_keys

    def kept(found: Any, schema: str | None, table: str) -> Any:
        return [key for key in found if (schema or default, table, key["name"]) not in clones]

    def get_foreign_keys(table_name: str, schema: str | None = None, **options: Any) -> Any:
        return kept(one(table_name, schema, **options), schema, table_name)

    def get_multi_foreign_keys(*given: Any, **options: Any) -> Any:
        found = many(*given, **options)
        return {place: kept(keys, *place) for place, keys in found.items()}

    inspector.get_foreign_keys = get_foreign_keys
    inspector.get_multi_foreign_keys = get_multi_foreign_keys


@comparators.dispatch_for("autogenerate", priority=DispatchPriority.LAST, subgroup="partitions")
def _mend(context: AutogenContext, upgrade: UpgradeOps) -> PriorityDispatchResult:
    """
    What Alembic makes of partitioned tables, as it should be.

    An index on a table that has partitions is made ON ONLY, and a table that is dropped comes
    back as it was divided.
    """
    connection: Any = context.connection
    if not upgrade.ops or connection is None or connection.dialect.name != "postgresql":
        return PriorityDispatchResult.CONTINUE
    default = connection.dialect.default_schema_name
    divided = {(row.nspname, row.relname): row.clause for row in rows(connection, DIVIDED)}
    if divided:
        upgrade.ops[:] = _mended(upgrade.ops, divided, default)
    return PriorityDispatchResult.CONTINUE


def _mended(
    operations: list[MigrateOperation], divided: dict[tuple[str, str], str], default: str
) -> Iterator[MigrateOperation]:
    for operation in operations:
        place = _place(operation, default)
        if isinstance(operation, ops.ModifyTableOps):
            operation.ops[:] = _mended(operation.ops, divided, default)
        elif isinstance(operation, ops.CreateIndexOp) and place in divided:
            yield CreateIndexOnlyOp(operation)
            continue
        elif isinstance(operation, ops.DropTableOp) and place in divided:
            operation.table_kw["postgresql_partition_by"] = divided[place]
        yield operation


def _place(operation: Any, default: str) -> tuple[str, str]:
    """
    The real schema and the name of the table that an operation is about.
    """
    return getattr(operation, "schema", None) or default, getattr(operation, "table_name", "")


class CreateIndexOnlyOp(MigrateOperation):
    """
    An index on a partitioned table that leaves the partitions alone.

    They get theirs from ``pgultra partitions maintain``, one by one and CONCURRENTLY.
    """

    def __init__(self, operation: ops.CreateIndexOp) -> None:
        self.operation = operation
        self.table_name = operation.table_name
        self.schema = operation.schema

    def reverse(self) -> MigrateOperation:
        """
        The index is dropped, and with it those of the partitions.
        """
        return self.operation.reverse()

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """
        As Alembic has it for any index.
        """
        return self.operation.to_diff_tuple()

    def statement(self) -> str:
        """
        ``CREATE INDEX … ON ONLY …``.
        """
        return Index.of(self.operation.to_index()).but(only=True, concurrently=False).create()[0]


@Operations.implementation_for(CreateIndexOnlyOp)
def _run(alembic: Operations, operation: CreateIndexOnlyOp) -> None:
    alembic.execute(sql.statement(operation.statement()))


@renderers.dispatch_for(CreateIndexOnlyOp)
def _render(context: AutogenContext, operation: CreateIndexOnlyOp) -> list[str]:
    alembic: Any = context.opts["alembic_module_prefix"]
    sqlalchemy: Any = context.opts["sqlalchemy_module_prefix"]
    text = operation.statement().replace("%", "%%")
    return [
        "# The partitions get theirs from `pgultra partitions maintain`, without blocking writes.",
        f"{alembic}execute({sqlalchemy}DDL({text!r}))",
    ]
