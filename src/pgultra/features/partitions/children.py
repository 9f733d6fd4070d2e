"""
What the catalog says of partitioned tables and their partitions.

Always by the oid of the parent and by the bound, never by a name: a table that merely looks
like a partition of ours is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

from pgultra import sql
from pgultra.features.partitions.bounds import parse_bound
from pgultra.features.partitions.registration import registration_name
from pgultra.features.partitions.rules import rules_on
from pgultra.objects import Mark
from pgultra.objects._catalog import rows
from pgultra.plan.declare import application_of
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.rules import Rules

__all__ = ["LOCK", "Child", "Parent", "parents_of", "read_children"]

LOCK = 1886544500
"""The first key of the advisory lock of premake and maintain; the parent's oid is the second."""

STRATEGIES = {"r": "range", "l": "list", "h": "hash"}

PARENTS = """
SELECT w.place::int AS place, c.oid::bigint AS oid, n.nspname, c.relname, c.relkind,
    p.partstrat::text AS partstrat,
    ARRAY(SELECT a.attname::text
        FROM pg_catalog.unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (number, at)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
        ORDER BY k.at) AS key_columns,
    pg_catalog.pg_get_userbyid(c.relowner) AS owner, t.spcname AS tablespace,
    (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
            g.tgname, g.tgenabled, pg_catalog.pg_get_triggerdef(g.oid)) ORDER BY g.tgname)
        FROM pg_catalog.pg_trigger AS g
        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 1 = 0)::text AS triggers,
    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS printed,
    (SELECT f.prosrc FROM pg_catalog.pg_proc AS f WHERE f.pronamespace = n.oid
        AND f.proname = w.function AND f.pronargs = 0) AS registration
FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[]), CAST(:functions AS name[]))
    WITH ORDINALITY AS w (nspname, relname, function, place)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.nspname
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.relname
LEFT JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = c.oid
LEFT JOIN pg_catalog.pg_tablespace AS t ON t.oid = c.reltablespace
WHERE c.relkind IN ('r', 'p')
ORDER BY w.place
"""
CHILDREN = """
WITH RECURSIVE parent AS (
    SELECT p.partrelid AS oid, p.partrelid AS root, 1 AS level, p.partattrs[0] AS number
    FROM pg_catalog.pg_partitioned_table AS p
    WHERE p.partrelid = ANY (CAST(:parents AS oid[]))
    UNION ALL
    SELECT p.partrelid, t.root, t.level + 1, p.partattrs[0]
    FROM parent AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
    JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = i.inhrelid
),
child AS MATERIALIZED (
    SELECT t.*, i.inhrelid, i.inhdetachpending
    FROM parent AS t
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
    LIMIT (SELECT 9223372036854775807) -- all of them: the planner takes them for a tenth
)
SELECT pg_catalog.current_setting('DateStyle') AS style,
    c.oid::bigint AS oid, n.nspname, c.relname, t.oid::bigint AS parent_oid,
    t.root::bigint AS root_oid, t.level, t.inhdetachpending AS detaching,
    c.relkind = 'p' AS is_partitioned, d.description,
    b.bound, c.relkind::text AS relkind,
    coalesce((SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum = t.number), '') AS type,
    q.partstrat::text AS partstrat,
    ARRAY(SELECT x.attname::text FROM pg_catalog.unnest(q.partattrs::int2[]) AS k (number)
        JOIN pg_catalog.pg_attribute AS x ON x.attrelid = c.oid AND x.attnum = k.number) AS key
FROM child AS t
CROSS JOIN LATERAL (
    SELECT r.oid, r.relname, r.relnamespace, r.relkind, r.relpartbound
    FROM pg_catalog.pg_class AS r WHERE r.oid = t.inhrelid OFFSET 0) AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
LEFT JOIN pg_catalog.pg_partitioned_table AS q ON q.partrelid = c.oid
CROSS JOIN LATERAL pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS b (bound)
WHERE b.bound IS NOT NULL -- one that was dropped meanwhile has none
ORDER BY t.root, t.level, c.oid
"""
"""
The recursion is over the tables that have partitions, which are few, and not over all of them.

PostgreSQL expects ten times as many rows of each of its rounds; over 1,200 partitions that made a
plan so dear that it was compiled (``jit``), which took 400 ms of the 450. MATERIALIZED
and OFFSET 0 keep it from beginning with all relations where nobody has analyzed the catalogs.
"""
PUT = "SELECT pg_catalog.set_config('DateStyle', :style, false)"


@dataclass(frozen=True)
class Parent:
    """
    A table that shall be partitioned, as it is in the database.

    Attributes:
        oid: None if the table is not there.
        schema: its real name, never None.
        strategy: ``range``, ``list``, ``hash``; None if it is a plain table.
        key_columns: what it is partitioned by; nothing for an expression.
        rules: how its model wants it.
        owner: whose the partitions shall be.
        tablespace: where they shall lie; None is the default.
        triggers: name, state and definition of its statement triggers, which PostgreSQL does
            not hand on to partitions.
        printed: schema and name as PostgreSQL spells them.
        application: whose mark partitions bear.
        table: the model's.
        default_schema: what a table without a schema lies in.
        registration: the body of the function that tells the database its rules.
    """

    oid: int | None
    schema: str
    name: str
    strategy: str | None
    key_columns: tuple[str, ...]
    rules: Rules
    owner: str = ""
    tablespace: str | None = None
    triggers: tuple[tuple[str, str, str], ...] = ()
    printed: str = ""
    application: str = "default"
    table: sa.Table = field(repr=False, compare=False, default=None)  # type: ignore[arg-type]  # set by all who read
    default_schema: str = "public"
    registration: str | None = field(repr=False, compare=False, default=None)

    @property
    def spelt(self) -> str:
        """
        Schema and name as SQL.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def grid(self) -> Grid | None:
        """
        The grid of its key, where partitions come one after the other.
        """
        return self.rules.grid(self.table)

    @property
    def mark(self) -> str:
        """
        The comment that its partitions bear.
        """
        return str(Mark(self.application, self.rules.room))


@dataclass(frozen=True, slots=True)
class Child:
    """
    One partition, at any level.

    Attributes:
        parent_oid: the table that it is a partition of.
        root_oid: the table at the top.
        bound: what it takes.
        marked: whether it bears our mark; only such are ever removed.
        detaching: whether a ``DETACH … CONCURRENTLY`` was begun and not finished.
        is_partitioned: whether it has partitions itself.
        level: 1 for those right below the table at the top.
        foreign: whether its rows lie on another server.
        divided: by which strategy and columns it is partitioned itself.
        key_type: the type of the column that its bound is of.
        comment: what is said of it, our mark included.
    """

    oid: int
    schema: str
    name: str
    parent_oid: int
    root_oid: int
    bound: Bound
    marked: bool
    detaching: bool
    is_partitioned: bool
    level: int
    foreign: bool = False
    divided: tuple[str, ...] = ()
    key_type: str = ""
    comment: str | None = None

    @property
    def spelt(self) -> str:
        """
        Schema and name as SQL.
        """
        return sql.qualified(self.schema, self.name)


def parents_of(
    connection: Connection, metadata: MetaData | Iterable[MetaData]
) -> tuple[Parent, ...]:
    """
    The tables that the models declare as partitioned, as they are in the database.

    They are where the connection has them: a ``schema_translate_map`` counts.
    """
    several = [metadata] if isinstance(metadata, MetaData) else list(metadata)
    declared: list[tuple[Any, Rules]] = [
        (table, rules)
        for each in several
        for table in each.tables.values()
        for rules in rules_on(table)
    ]
    if not declared:
        return ()
    home = home_of(connection, several)
    schemas = [sql.schema_on(connection, table.schema) or home for table, _ in declared]
    found = {
        row.place: row
        for row in rows(
            connection,
            PARENTS,
            schemas=schemas,
            names=[table.name for table, _ in declared],
            functions=[registration_name(table) for table, _ in declared],
        )
    }
    parents = []
    for place, (schema, (table, rules)) in enumerate(zip(schemas, declared, strict=True), 1):
        row = found.get(place)
        common: dict[str, Any] = {
            "schema": schema,
            "name": table.name,
            "rules": rules,
            "application": application_of(table.metadata),
            "table": table,
            "default_schema": home,
        }
        if row is None:
            parents.append(Parent(oid=None, strategy=None, key_columns=(), **common))
            continue
        triggers = tuple(tuple(each) for each in json.loads(row.triggers or "[]"))
        parents.append(
            Parent(
                oid=row.oid,
                strategy=STRATEGIES.get(row.partstrat) if row.partstrat else None,
                key_columns=tuple(row.key_columns or ()),
                owner=row.owner,
                tablespace=row.tablespace,
                triggers=triggers,
                printed=row.printed,
                registration=row.registration,
                **common,
            )
        )
    return tuple(parents)


def read_children(
    connection: Connection, parents: Iterable[Parent | int], application: str | None = None
) -> tuple[Child, ...]:
    """
    All partitions of these tables, at every level, in one query.

    Args:
        connection: whose database is asked.
        parents: from `parents_of`, or oids.
        application: whose marks count; told by the parents, or ``default``.
    """
    given = list(parents)
    oids = [str(p if isinstance(p, int) else p.oid) for p in given if isinstance(p, int) or p.oid]
    if not oids:
        return ()
    owners = {p.oid: p.application for p in given if isinstance(p, Parent)}
    found = rows(connection, CHILDREN, parents=oids)
    if found and not found[0].style.startswith("ISO"):
        style = found[0].style
        rows(connection, PUT, style="ISO")
        try:
            found = rows(connection, CHILDREN, parents=oids)
        finally:
            rows(connection, PUT, style=style)
    children = []
    for row in found:
        mark = Mark.parse(row.description)[1]
        owner = application or owners.get(row.root_oid, "default")
        children.append(
            Child(
                oid=row.oid,
                schema=row.nspname,
                name=row.relname,
                parent_oid=row.parent_oid,
                root_oid=row.root_oid,
                bound=parse_bound(row.bound, row.type),
                marked=mark is not None and (mark.application, mark.room) == (owner, "partitions"),
                detaching=row.detaching,
                is_partitioned=row.is_partitioned,
                level=row.level,
                foreign=row.relkind == "f",
                key_type=row.type,
                comment=row.description,
                divided=(STRATEGIES[row.partstrat], *row.key) if row.partstrat else (),
            )
        )
    return tuple(children)
