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
from pgultra.objects import Index
from pgultra.objects._catalog import rows
from pgultra.plan.collect import is_managed
from pgultra.plan.declare import application_of, function_name
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import UpgradeOps
    from sqlalchemy import Connection, Row

__all__ = ["CreateIndexOnlyOp", "hidden_tables", "mend"]

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
    UNION
    SELECT t.oid FROM twin AS t
), twin AS ( -- the other table of a conversion that is under way: there is a journal
    SELECT c.oid
    FROM unnest(CAST(:twin_schemas AS name[]), CAST(:twins AS name[])) AS w (nspname, relname)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.nspname
    JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname
    WHERE EXISTS (SELECT FROM marked AS m JOIN pg_catalog.pg_class AS j ON j.oid = m.oid
        WHERE j.relnamespace = n.oid AND j.relname = ANY (CAST(:journals AS name[])))
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
SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid) AS visible
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT t.oid FROM tree AS t UNION SELECT m.oid FROM marked AS m
        UNION SELECT w.oid FROM twin AS w)
    AND c.relkind IN ('r', 'p', 'f')
"""
DIVIDED = """
SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid) AS visible,
    pg_catalog.pg_get_partkeydef(c.oid) AS clause
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'p'
"""
CLONES = """
SELECT n.nspname, c.relname, pg_catalog.pg_table_is_visible(c.oid) AS visible, k.conname
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid <> 0
"""
"""What PostgreSQL makes of a foreign key to a partitioned table: one more for each partition."""


def _places(row: Row[Any]) -> Iterator[tuple[str | None, str]]:
    """
    Schema and name of a table as Alembic may spell them.

    A table without a schema is one that the ``search_path`` finds, in whichever schema.
    """
    yield row.nspname, row.relname
    if row.visible:
        yield None, row.relname


def hidden_tables(
    connection: Connection, several: list[MetaData], default: str
) -> frozenset[tuple[str | None, str]]:
    """
    Schema and name of the tables that Alembic shall not see.
    """
    tables = [table for each in several for table in each.tables.values()]
    parents = [(table.schema or default, table.name) for table in tables if is_managed(table)]
    from pgultra.features.partitions.partman import managed_by_partman  # here are partitions

    parents += managed_by_partman(connection)
    applications = sorted(set(map(application_of, several)))
    twins = [
        (table.schema or default, sql.short_name(table.name, "partitions", word))
        for table in tables
        for word in ("new", "old")
    ]
    found = rows(
        connection,
        HIDDEN,
        schemas=[schema for schema, _ in parents],
        names=[name for _, name in parents],
        twin_schemas=[schema for schema, _ in twins],
        twins=[name for _, name in twins],
        journals=[function_name(each, "partitions", "journal") for each in several],
        marks=[f"pgultra:{application}:partitions" for application in applications],
        applications=["pgultra:" + each.replace("_", r"\_") + ":%" for each in applications],
    )
    mapped = {(table.schema or default, table.name) for table in tables}
    return frozenset(
        place for row in found if (row.nspname, row.relname) not in mapped for place in _places(row)
    )


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
        clones = {
            (*place, row.conname) for row in rows(connection, CLONES) for place in _places(row)
        }
        if clones:
            _leave_out(clones, context.inspector)
        hidden = hidden_tables(connection, several, home_of(connection, several))
        if hidden:

            def is_seen(name: str | None, kind: str, parents: Any) -> bool:
                return kind != "table" or (parents.get("schema_name"), name) not in hidden

            context._name_filters.append(is_seen)
    return PriorityDispatchResult.CONTINUE


def _leave_out(clones: set[tuple[str | None, str, str]], inspector: Any) -> None:
    """
    Let an Inspector forget the foreign keys that PostgreSQL keeps for single partitions.

    SQLAlchemy reflects them beside the one that was declared.
    """
    one, many = inspector.get_foreign_keys, inspector.get_multi_foreign_keys

    def kept(found: Any, schema: str | None, table: str) -> Any:
        return [key for key in found if (schema, table, key["name"]) not in clones]

    def get_foreign_keys(table_name: str, schema: str | None = None, **options: Any) -> Any:
        return kept(one(table_name, schema, **options), schema, table_name)

    def get_multi_foreign_keys(*given: Any, **options: Any) -> Any:
        found = many(*given, **options)
        return {place: kept(keys, *place) for place, keys in found.items()}

    inspector.get_foreign_keys = get_foreign_keys
    inspector.get_multi_foreign_keys = get_multi_foreign_keys


def mend(upgrade: UpgradeOps, several: Sequence[MetaData], connection: Connection) -> None:
    """
    What Alembic makes of partitioned tables, as it should be.

    An index on a table whose partitions pgultra keeps is made ON ONLY, and a table that is
    dropped comes back as it was divided. On other partitioned tables nobody would build the
    rest of such an index: they get theirs as Alembic has it.
    """
    if not upgrade.ops:
        return
    divided = {place: row.clause for row in rows(connection, DIVIDED) for place in _places(row)}
    if divided:
        own = connection.dialect.default_schema_name
        managed = {
            (schema, table.name)
            for each in several
            for table in each.tables.values()
            if is_managed(table)
            for schema in ({None, own} if table.schema in (None, own) else {table.schema})
        }
        upgrade.ops[:] = _mended(upgrade.ops, divided, managed)


def _mended(
    operations: list[MigrateOperation],
    divided: Mapping[tuple[str | None, str], str],
    managed: Container[tuple[str | None, str]],
) -> Iterator[MigrateOperation]:
    for operation in operations:
        place = getattr(operation, "schema", None), getattr(operation, "table_name", "")
        if isinstance(operation, ops.ModifyTableOps):
            operation.ops[:] = _mended(operation.ops, divided, managed)
        elif isinstance(operation, ops.CreateIndexOp) and place in divided and place in managed:
            yield CreateIndexOnlyOp(operation)
            continue
        elif isinstance(operation, ops.DropTableOp) and place in divided:
            operation.table_kw["postgresql_partition_by"] = divided[place]
        yield operation


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
