"""
What a column has beside its values: what comes back when it is dropped and added again.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.objects._base import Identity
from pgultra.objects._rights import GRANT, Grants, Rights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pgultra.objects._base import Scope

__all__ = ["BESIDE", "Beside"]

BESIDE = f"""
pg_catalog.jsonb_build_object(
    'not_null', a.attnotnull,
    'comment', pg_catalog.col_description(a.attrelid, a.attnum),
    'constraints', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(k.conname,
                pg_catalog.pg_get_constraintdef(k.oid),
                pg_catalog.obj_description(k.oid, 'pg_constraint'))
            ORDER BY k.contype DESC, k.conname)
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = a.attrelid AND k.contype IN ('c', 'f', 'p', 'u', 'x')
            AND k.conislocal AND a.attnum = ANY (k.conkey)),
    'grants', (SELECT pg_catalog.jsonb_agg(
            DISTINCT {GRANT.format(owner="c.relowner", column="a.attname")})
        FROM pg_catalog.aclexplode(a.attacl) AS g WHERE g.grantee <> c.relowner),
    'views', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array(
                CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END,
                vn.nspname, v.relname))
        FROM pg_catalog.pg_depend AS k
        JOIN pg_catalog.pg_rewrite AS w ON w.oid = k.objid
        JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
        JOIN pg_catalog.pg_namespace AS vn ON vn.oid = v.relnamespace
        WHERE k.classid = 'pg_catalog.pg_rewrite'::regclass
            AND k.refclassid = 'pg_catalog.pg_class'::regclass
            AND k.refobjid = a.attrelid AND k.refobjsubid = a.attnum))::text AS beside
"""  # noqa: S608  # constants of these files only
"""For ``pg_attribute AS a`` of ``pg_class AS c``; indexes are read on their own."""


@dataclass(frozen=True)
class Beside:
    """
    What goes with a column without a word, and what keeps it from going.

    Attributes:
        not_null: whether it may not be NULL.
        comment: of the column.
        constraints: name, definition and comment of those that name it.
        grants: those on the column alone.
        views: which show it.
    """

    not_null: bool = False
    comment: str | None = None
    constraints: tuple[tuple[str, str, str | None], ...] = ()
    grants: Grants = ()
    views: tuple[Identity, ...] = ()

    @classmethod
    def of(cls, found: str, scope: Scope) -> Beside:
        """
        From what the catalog query said.
        """
        row = json.loads(found)
        return cls(
            not_null=row["not_null"],
            comment=row["comment"],
            constraints=tuple(tuple(entry) for entry in row["constraints"] or ()),
            grants=tuple(tuple(entry) for entry in row["grants"] or ()),
            views=tuple(
                Identity(kind, scope.spelt(schema), name)
                for kind, schema, name in row["views"] or ()
            ),
        )

    def without(self, names: Collection[str]) -> Beside:
        """
        But for some constraints.
        """
        kept = tuple(entry for entry in self.constraints if entry[0] not in names)
        return dataclasses.replace(self, constraints=kept)

    def statements(self, table: str, column: str) -> Iterator[str]:
        """
        The SQL that gives it to a new column.

        Args:
            table: its quoted name.
            column: its name.
        """
        quoted = sql.identifier(column)
        if self.not_null:
            yield f"ALTER TABLE {table} ALTER COLUMN {quoted} SET NOT NULL"
        for name, definition, comment in self.constraints:
            yield f"ALTER TABLE {table} ADD CONSTRAINT {sql.identifier(name)} {definition}"
            if comment is not None:
                constraint = f"CONSTRAINT {sql.identifier(name)} ON {table}"
                yield f"COMMENT ON {constraint} IS {sql.literal(comment)}"
        yield from Rights(grants=self.grants).given("VIEW", table, (column,))
        if self.comment is not None:
            yield f"COMMENT ON COLUMN {table}.{quoted} IS {sql.literal(self.comment)}"
