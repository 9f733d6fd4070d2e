"""
Who calls a function, as far as PostgreSQL knows: asked for once one is to go or to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.objects._base import Identity
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pgultra.objects._base import Scope

CALLERS = """
SELECT DISTINCT a.place, k.kind, k.schema, k.name, k.sits_on
FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[]), CAST(:arguments AS text[]))
    WITH ORDINALITY AS a (schema, name, arguments, place)
JOIN pg_catalog.pg_proc AS p ON p.proname = a.name
    AND pg_catalog.pg_get_function_identity_arguments(p.oid) = a.arguments
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace AND pn.nspname = a.schema
JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_proc'::regclass
    AND d.refobjid = p.oid AND d.deptype IN ('n', 'a')
CROSS JOIN LATERAL (
    SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'rule' END,
        n.nspname, c.relname::text, NULL::name
    FROM pg_catalog.pg_rewrite AS w
    JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid
    UNION ALL
    SELECT 'trigger', n.nspname, t.tgname::text, c.relname
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_trigger'::regclass AND t.oid = d.objid
        AND NOT EXISTS ( -- on a partition, the one of a table above it
            SELECT FROM pg_catalog.pg_partition_ancestors(t.tgrelid) AS above
            JOIN pg_catalog.pg_trigger AS o ON o.tgrelid = above.relid
            WHERE above.relid <> t.tgrelid AND (o.tgname, o.tgfoid) = (t.tgname, t.tgfoid))
    UNION ALL
    SELECT 'check', n.nspname, t.conname::text, c.relname
    FROM pg_catalog.pg_constraint AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.conrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND t.oid = d.objid
        AND t.coninhcount = 0 -- on a partition, the one of the table above it
    UNION ALL
    SELECT 'index', n.nspname, i.relname::text, c.relname
    FROM pg_catalog.pg_index AS t
    JOIN pg_catalog.pg_class AS i ON i.oid = t.indexrelid
    JOIN pg_catalog.pg_class AS c ON c.oid = t.indrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND i.oid = d.objid
        AND NOT i.relispartition
    UNION ALL
    SELECT 'column', n.nspname, t.attname::text, c.relname
    FROM pg_catalog.pg_attrdef AS f
    JOIN pg_catalog.pg_attribute AS t ON t.attrelid = f.adrelid AND t.attnum = f.adnum
    JOIN pg_catalog.pg_class AS c ON c.oid = f.adrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
        AND NOT c.relispartition
    UNION ALL
    SELECT 'policy', n.nspname, t.polname::text, c.relname
    FROM pg_catalog.pg_policy AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.polrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_catalog.pg_policy'::regclass AND t.oid = d.objid
    UNION ALL
    SELECT 'object', NULL, pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), NULL
    WHERE d.classid NOT IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_trigger'::regclass,
        'pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_class'::regclass,
        'pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_policy'::regclass,
        'pg_catalog.pg_proc'::regclass) -- a default argument: its function may be ours
) AS k (kind, schema, name, sits_on)
ORDER BY a.place, k.kind, k.schema, k.name
"""


def callers_of(
    connection: Connection, functions: Sequence[tuple[str, str, str]], scope: Scope
) -> list[tuple[Identity, ...]]:
    """
    Ask for several functions at once, by schema, name and argument types.
    """
    found: list[list[Identity]] = [[] for _ in functions]
    if functions:
        schemas, names, arguments = map(list, zip(*functions, strict=True))
        for row in rows(connection, CALLERS, schemas=schemas, names=names, arguments=arguments):
            schema = None if row.schema is None else scope.spelt(row.schema)
            found[row.place - 1].append(Identity(row.kind, schema, row.name, row.sits_on))
    return [tuple(each) for each in found]
