"""
What a view has beside its query, and what stands on it: asked for once one is to change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.objects._base import Identity
from pgultra.objects._catalog import rows
from pgultra.objects._rights import COLUMN_GRANTS, Rights, column_of_rights, rights_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from pgultra.objects._base import Scope

COLUMNS = """
(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
        a.attname, pg_catalog.concat(pg_catalog.format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation <> t.typcollation
                THEN ' ' || CAST(a.attcollation::regcollation AS text) END)) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text AS columns
"""
"""For ``pg_class AS c``: names and types, with a collation that is not the type's, as JSON."""
DETAILS = f"""
SELECT k.place, {COLUMNS}, {column_of_rights("VIEW", "c", "rel")}, {COLUMN_GRANTS},
    (SELECT pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_array(a.attname, cd.description) ORDER BY a.attnum)
        FROM pg_catalog.pg_description AS cd
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = cd.objsubid
        WHERE cd.objoid = c.oid AND cd.classoid = 'pg_catalog.pg_class'::regclass
            AND cd.objsubid > 0)::text AS comments,
    (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
            a.attname, pg_catalog.pg_get_expr(f.adbin, f.adrelid)) ORDER BY a.attnum)
        FROM pg_catalog.pg_attrdef AS f
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = f.adnum
        WHERE f.adrelid = c.oid)::text AS defaults,
    (SELECT pg_catalog.jsonb_agg(g.entry ORDER BY g.entry) FROM (
        SELECT pg_catalog.jsonb_build_array('trigger', t.tgname) AS entry
        FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT pg_catalog.jsonb_build_array('rule', w.rulename)
        FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN'
        ) AS g)::text AS riders
FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[]))
    WITH ORDINALITY AS k (schema, name, place)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = k.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = k.name
ORDER BY k.place
"""  # noqa: S608  # constants of this file only
EDGES = """
WITH asked AS (
    SELECT c.oid FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (n.nspname, c.relname) IN (
        SELECT * FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[]))))
SELECT un.nspname AS user_schema, u.relname AS user_name, u.relkind::text AS user_kind,
    rn.nspname AS used_schema, r.relname AS used_name, r.relkind::text AS used_kind,
    pg_catalog.array_agg(a.attname::text) AS used_columns
FROM pg_catalog.pg_depend AS p
JOIN pg_catalog.pg_rewrite AS w ON w.oid = p.objid
JOIN pg_catalog.pg_class AS u ON u.oid = w.ev_class
JOIN pg_catalog.pg_namespace AS un ON un.oid = u.relnamespace
JOIN pg_catalog.pg_class AS r ON r.oid = p.refobjid
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = p.refobjsubid
WHERE p.classid = 'pg_catalog.pg_rewrite'::regclass
    AND p.refclassid = 'pg_catalog.pg_class'::regclass AND u.oid <> r.oid
    AND (u.oid IN (SELECT oid FROM asked) OR r.oid IN (SELECT oid FROM asked))
GROUP BY u.oid, un.nspname, r.oid, rn.nspname
"""

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Belongings(Rights):
    """
    What must come back when a view is made anew, and who would notice that it was gone.

    Attributes:
        columns: names and types.
        comments: of columns.
        defaults: of columns, as SQL.
        riders: kind and name of triggers and rules, whoever made them.
        used_columns: what it stands on, column by column.
        uses: what it stands on.
        dependents: what stands on it.
    """

    columns: Pairs = ()
    comments: Pairs = ()
    defaults: Pairs = ()
    riders: Pairs = ()
    used_columns: tuple[tuple[Identity, str], ...] = ()
    uses: tuple[Identity, ...] = ()
    dependents: tuple[Identity, ...] = ()

    def statements(self, view: str, columns: Pairs | None) -> Iterator[str]:
        """
        The SQL that gives them to a new view.

        Args:
            view: its quoted name.
            columns: those that it has; None if they are the same as before.
        """
        kept = {name for name, _ in (self.columns if columns is None else columns)}
        yield from self.given("VIEW", view, kept)
        for column, expression in self.defaults:
            if column in kept:
                name = sql.identifier(column)
                yield f"ALTER VIEW {view} ALTER COLUMN {name} SET DEFAULT {expression}"
        for column, comment in self.comments:
            if column in kept:
                text = sql.literal(comment)
                yield f"COMMENT ON COLUMN {view}.{sql.identifier(column)} IS {text}"


def pairs_of(text: str | None) -> Pairs:
    """
    A JSON array of arrays as tuples.
    """
    return tuple(tuple(entry) for entry in json.loads(text or "[]"))


def belongings_of(
    connection: Connection, views: Sequence[tuple[str, str]], scope: Scope
) -> list[Belongings]:
    """
    Ask for several views at once, by schema and name.
    """
    if not views:
        return []
    schemas, names = [schema for schema, _ in views], [name for _, name in views]
    edges = rows(connection, EDGES, schemas=schemas, names=names)
    uses: dict[tuple[str, str], list[tuple[Identity, Sequence[str | None]]]] = {}
    dependents: dict[tuple[str, str], list[Identity]] = {}
    for edge in edges:
        used = Identity(_kind(edge.used_kind), scope.spelt(edge.used_schema), edge.used_name)
        user = Identity(_kind(edge.user_kind), scope.spelt(edge.user_schema), edge.user_name)
        here = (edge.user_schema, edge.user_name)
        uses.setdefault(here, []).append((used, edge.used_columns))
        dependents.setdefault((edge.used_schema, edge.used_name), []).append(user)
    details = rows(connection, DETAILS, schemas=schemas, names=names)
    return [
        Belongings(
            **vars(rights_of(row.rights, row.column_grants)),
            columns=pairs_of(row.columns),
            comments=pairs_of(row.comments),
            defaults=pairs_of(row.defaults),
            riders=pairs_of(row.riders),
            uses=tuple(used for used, _ in uses.get(view, ())),
            used_columns=tuple(
                (used, column)
                for used, columns in uses.get(view, ())
                for column in columns
                if column
            ),
            dependents=tuple(dependents.get(view, ())),
        )
        for view, row in zip(views, details, strict=True)
    ]


def _kind(relkind: str) -> str:
    return {"v": "view", "m": "materialized view"}.get(relkind, "table")
