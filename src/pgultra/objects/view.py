"""
The noun View: compared as PostgreSQL prints it, rebuilt with its grants and comments.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sqlalchemy import Table
from sqlalchemy.sql import visitors

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Row
    from sqlalchemy.sql import Select

__all__ = ["View"]

READ = """
SELECT n.nspname, c.relname, q.query, coalesce(c.reloptions, '{}') AS options, d.description,
    left(encode(sha256(convert_to(q.query, 'UTF8')), 'hex'), 12) AS printed
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_viewdef(c.oid) AS query OFFSET 0) AS q
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind = 'v' AND (
    c.oid = ANY (CAST(:marked AS oid[]))
    OR (n.nspname, c.relname) IN (
        SELECT * FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[]))))
ORDER BY n.nspname, c.relname
"""
COLUMNS = """
ARRAY(SELECT pg_catalog.quote_ident(a.attname) || ' ' ||
        pg_catalog.format_type(a.atttypid, a.atttypmod)
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum) AS columns
"""
DETAILS = f"""
SELECT k.place, {COLUMNS}, pg_catalog.pg_get_userbyid(c.relowner) AS owner,
    c.relowner = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
        AS is_own,
    ARRAY(SELECT pg_catalog.format('%s|%s|%s|%s', g.privilege_type, g.is_grantable,
            CASE g.grantee WHEN 0 THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END, '')
        FROM pg_catalog.aclexplode(c.relacl) AS g WHERE g.grantee <> c.relowner
        UNION ALL
        SELECT pg_catalog.format('%s|%s|%s|%s', g.privilege_type, g.is_grantable,
            CASE g.grantee WHEN 0 THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END,
            pg_catalog.quote_ident(a.attname))
        FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS g
        WHERE a.attrelid = c.oid AND g.grantee <> c.relowner
        ORDER BY 1) AS grants,
    ARRAY(SELECT a.attname || '|' || cd.description
        FROM pg_catalog.pg_description AS cd
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = cd.objsubid
        WHERE cd.objoid = c.oid AND cd.classoid = 'pg_catalog.pg_class'::regclass
            AND cd.objsubid > 0
        ORDER BY a.attnum) AS column_comments
FROM unnest(CAST(:names AS regclass[])) WITH ORDINALITY AS k (oid, place)
JOIN pg_catalog.pg_class AS c ON c.oid = k.oid
ORDER BY k.place
"""  # noqa: S608  # constants of this file only
TWINS = f"""
SELECT c.relname, pg_catalog.pg_get_viewdef(c.oid) AS query, {COLUMNS}
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
"""  # noqa: S608  # constants of this file only
EDGES = """
SELECT u.oid::text AS user_oid, un.nspname AS user_schema, u.relname AS user_name,
    u.relkind::text AS user_kind, r.oid::text AS used_oid, rn.nspname AS used_schema,
    r.relname AS used_name, r.relkind::text AS used_kind,
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
    AND (u.oid = ANY (CAST(:names AS regclass[])) OR r.oid = ANY (CAST(:names AS regclass[])))
GROUP BY u.oid, un.nspname, r.oid, rn.nspname
"""
REMARK = """DECLARE
    path text := current_setting('search_path');
    printed text;
BEGIN
    PERFORM set_config('search_path', quote_ident(coalesce(current_schema(), 'public')), true);
    printed := pg_get_viewdef({view}::regclass);
    PERFORM set_config('search_path', path, true);
    EXECUTE format('COMMENT ON VIEW %s IS %L', {view}, {text} || ':' ||
        left(encode(sha256(convert_to(printed, 'UTF8')), 'hex'), 12));
END"""
"""Writes the mark with a fingerprint of what the server prints."""


@dataclass(frozen=True, kw_only=True)
class View(DatabaseObject):
    r"""
    A view.

    Args:
        name: without schema.
        query: a SELECT as text, or a SQLAlchemy ``select()``, which is rendered at once.
        security_invoker: check privileges and policies of who asks, not of the owner.
        security_barrier: no condition of the caller is evaluated before the view's own.
        check_option: ``local`` or ``cascaded``: refuse writes that the view would not show.

    A change of columns drops and makes it anew, with its grants, owner and comments, and
    with all views that stand on it, if they are ours; a stranger's view is never touched
    and stops the plan.

    >>> View(name="grown_up", query="SELECT id FROM person WHERE age > 17").create()
    ('CREATE VIEW grown_up AS\nSELECT id FROM person WHERE age > 17',)
    """

    kind: ClassVar[str] = "view"

    name: str
    query: str
    security_invoker: bool = False
    security_barrier: bool = False
    check_option: str | None = None
    columns: tuple[str, ...] | None = field(default=None, compare=False, repr=False)
    grants: tuple[str, ...] = field(default=(), compare=False, repr=False)
    owner: str | None = field(default=None, compare=False, repr=False)
    column_comments: tuple[str, ...] = field(default=(), compare=False, repr=False)
    used_columns: tuple[tuple[Identity, str], ...] = field(default=(), compare=False, repr=False)
    untouched: bool = field(default=False, compare=False, repr=False)
    dependents: tuple[Identity, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.check_option not in (None, "local", "cascaded"):
            raise DeclarationError(
                f"view {self.name}: check_option={self.check_option!r} is not local or cascaded"
            )
        query: str | Select[Any] = self.query
        if not isinstance(query, str):
            used, text = _rendered(query)
            object.__setattr__(self, "query", text)
            object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, *used))))
        object.__setattr__(self, "query", _bare(self.query))

    @property
    def identity(self) -> Identity:
        """
        Schema and name.
        """
        return Identity("view", self.schema, self.name)

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints its text anew.
        """
        return True

    def target(self) -> str:
        """
        ``VIEW name``.
        """
        return f"VIEW {sql.qualified(self.schema, self.name)}"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE VIEW``, what it had of grants and comments, and the mark.
        """
        name = sql.qualified(self.schema, self.name)
        after = list(self.commented())
        if self.owner is not None:
            after.append(f"ALTER VIEW {name} OWNER TO {sql.identifier(self.owner)}")
        for grant in self.grants:
            privilege, grantable, grantee, column = grant.split("|", 3)
            what = f"{privilege} ({column})" if column else privilege
            option = " WITH GRANT OPTION" if grantable in ("t", "true") else ""
            after.append(f"GRANT {what} ON {name} TO {grantee}{option}")
        for entry in self.column_comments:
            column, _, comment = entry.partition("|")
            after.append(
                f"COMMENT ON COLUMN {name}.{sql.identifier(column)} IS {sql.literal(comment)}"
            )
        return (self._definition("CREATE"), *after)

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP VIEW``, which PostgreSQL refuses while something stands on it.
        """
        return (f"DROP {self.target()}",)

    def in_place(self, old: Self) -> bool:
        """
        ``CREATE OR REPLACE`` can only append columns.
        """
        if self.columns is None or old.columns is None:
            return False
        return self.columns[: len(old.columns)] == old.columns

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE`` where the columns allow it, else anew.
        """
        new = self.heir_of(old)
        if self.in_place(old):
            return (self._definition("CREATE OR REPLACE"), *new.commented())
        return (*old.drop(), *new.create())

    def heir_of(self, old: Self) -> Self:
        """
        This view with the old one's grants, owner and comments.
        """
        kept = {column.rpartition(" ")[0] for column in self.columns or ()} | {
            column.split(" ")[0].strip('"') for column in self.columns or ()
        }
        return dataclasses.replace(
            self,
            comment=self.comment or old.comment,
            grants=tuple(
                g
                for g in old.grants
                if not (c := g.split("|", 3)[3]) or not kept or c.strip('"') in kept
            ),
            owner=old.owner,
            column_comments=tuple(
                c for c in old.column_comments if not kept or c.partition("|")[0] in kept
            ),
        )

    def _definition(self, verb: str) -> str:
        options = [
            text
            for wanted, text in (
                (self.security_invoker, "security_invoker=true"),
                (self.security_barrier, "security_barrier=true"),
                (self.check_option, f"check_option={self.check_option}"),
            )
            if wanted
        ]
        beside = f" WITH ({', '.join(options)})" if options else ""
        return f"{verb} VIEW {sql.qualified(self.schema, self.name)}{beside} AS\n{self.query}"

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[View]:
        """
        The wanted and the marked views; ``with_details`` tells the rest.
        """
        wanted = scope.of_kind("view")
        marked = scope.marked.get("pg_class", [])
        if not wanted and not marked:
            return
        found = rows(
            connection,
            READ,
            marked=marked,
            schemas=[scope.real(identity.schema) for identity in wanted],
            names=[identity.name for identity in wanted],
        )
        for row in found:
            comment, mark = Mark.parse(row.description)
            yield cls(
                **_fields(row),
                name=row.relname,
                schema=scope.spelt(row.nspname),
                comment=comment,
                mark=mark,
                untouched=mark is not None and mark.printed == row.printed,
            )

    @staticmethod
    def with_details(connection: Connection, views: Sequence[View], scope: Scope) -> Sequence[View]:
        """
        The same views, with columns, grants and comments, and what stands on what.
        """
        names = [sql.qualified(scope.real(view.schema), view.name) for view in views]
        edges = rows(connection, EDGES, names=names) if names else []
        details = rows(connection, DETAILS, names=names) if names else []
        result = []
        for view, name, detail in zip(views, names, details, strict=True):
            used = [
                (Identity(_kind(e.used_kind), scope.spelt(e.used_schema), e.used_name), e)
                for e in edges
                if sql.qualified(e.user_schema, e.user_name) == name
            ]
            result.append(
                dataclasses.replace(
                    view,
                    columns=tuple(detail.columns),
                    grants=tuple(detail.grants),
                    owner=None if detail.is_own else detail.owner,
                    column_comments=tuple(detail.column_comments),
                    requires=tuple(identity for identity, _ in used),
                    used_columns=tuple(
                        (identity, column)
                        for identity, e in used
                        for column in e.used_columns
                        if column
                    ),
                    dependents=tuple(
                        Identity(_kind(e.user_kind), scope.spelt(e.user_schema), e.user_name)
                        for e in edges
                        if sql.qualified(e.used_schema, e.used_name) == name
                    ),
                )
            )
        return result

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal queries, or the fingerprints of both texts as they were when it was made.
        """
        if isinstance(other, View) and self._unchanged(other):
            return all(name == "query" for name in self.differing(other))
        return super().same_as(other)

    def _unchanged(self, other: View) -> bool:
        return (
            other.untouched
            and self.mark is not None
            and other.mark is not None
            and self.mark.fingerprint is not None
            and self.mark.fingerprint == other.mark.fingerprint
        )

    def source(self) -> str:
        """
        What the fingerprint is taken of: the query alone.
        """
        return self.query

    def remark(self) -> tuple[str, ...]:
        """
        The mark of a view bears the fingerprint of its printed text, taken by the server.
        """
        if self.mark is None or self.mark.fingerprint is None:
            return super().remark()
        name = sql.qualified(self.schema, self.name)
        bare = dataclasses.replace(self.mark, printed=None)
        text = f"{self.comment}\n{bare}" if self.comment else str(bare)
        body = REMARK.format(view=sql.literal(name), text=sql.literal(text))
        return (f"DO {sql.dollar(body)}",)

    def printed_as(self, form: Self) -> Self:
        """
        With the columns that PostgreSQL gives it.
        """
        return dataclasses.replace(self, columns=form.columns)

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed text.
        """
        return dataclasses.replace(self, query=other.query)

    @classmethod
    def twins(
        cls,
        desired: Sequence[View],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, View, tuple[str, ...]]]:
        """
        A temporary view with the same query.
        """
        for view in desired:
            other = actual.get(view.identity)
            if isinstance(other, View) and not view.same_as(other):
                name = next(names)
                yield name, view, (f"CREATE TEMPORARY VIEW {name} AS\n{view.query}",)

    @classmethod
    def printed_forms(cls, connection: Connection, twins: Mapping[str, View]) -> Mapping[str, View]:
        """
        Query and columns as PostgreSQL prints them.
        """
        return {
            row.relname: dataclasses.replace(
                twins[row.relname],
                query=_bare(row.query),
                columns=tuple(row.columns),
            )
            for row in rows(connection, TWINS, names=list(twins))
        }


def _kind(relkind: str) -> str:
    return {"v": "view", "m": "materialized view"}.get(relkind, "table")


def _bare(query: str) -> str:
    return query.strip().rstrip(";").rstrip()


def _fields(row: Row[Any]) -> dict[str, Any]:
    options = dict(option.partition("=")[::2] for option in row.options)
    return {
        "query": _bare(row.query),
        "security_invoker": options.get("security_invoker") in ("true", "on", "1", "yes"),
        "security_barrier": options.get("security_barrier") in ("true", "on", "1", "yes"),
        "check_option": options.get("check_option"),
    }


def _rendered(select: Select[Any]) -> tuple[tuple[Identity, ...], str]:
    tables = [node for node in visitors.iterate(select) if isinstance(node, Table)]
    used = dict.fromkeys(Identity("table", table.schema, table.name) for table in tables)
    return tuple(used), sql.render(select)
