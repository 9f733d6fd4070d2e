"""
Whose an object is and who may do what with it: what comes back when it is made anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

__all__ = ["COLUMN_GRANTS", "GRANT", "Grants", "Rights", "column_of_rights", "rights_of"]

RIGHTS = """
(CASE WHEN {acl} IS NOT NULL
    OR {owner} <> (SELECT u.oid FROM pg_catalog.pg_roles AS u WHERE u.rolname = current_user)
    OR EXISTS (SELECT FROM pg_catalog.pg_default_acl AS d WHERE d.defaclobjtype = '{letter}')
THEN (SELECT pg_catalog.jsonb_build_object(
        'owner', CASE WHEN r.rolname <> current_user THEN r.rolname END,
        'decided', {acl} IS NOT NULL OR EXISTS (
            SELECT FROM pg_catalog.pg_default_acl AS d WHERE d.defaclobjtype = '{letter}'),
        'limited', (SELECT count(*) FROM pg_catalog.aclexplode(s.acl) AS g
            WHERE g.grantee = r.oid)
            < (SELECT count(*) FROM pg_catalog.aclexplode(s.usual) AS g WHERE g.grantee = r.oid),
        'grants', (SELECT pg_catalog.jsonb_agg(DISTINCT {grant})
            FROM pg_catalog.aclexplode(s.acl) AS g),
        'usual', (SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.pg_get_userbyid(g.grantee))
            FROM pg_catalog.pg_default_acl AS d, pg_catalog.aclexplode(d.defaclacl) AS g
            WHERE d.defaclobjtype = '{letter}' AND g.grantee NOT IN (0, d.defaclrole)))::text
    FROM pg_catalog.pg_roles AS r
    CROSS JOIN LATERAL (SELECT u.usual, coalesce({acl}, u.usual) AS acl
        FROM pg_catalog.acldefault('{letter}', r.oid) AS u (usual)) AS s
    WHERE r.oid = {owner}) END) AS rights
"""
"""NULL where nobody decided anything, as of most functions: it is asked for at every check."""
GRANT = """pg_catalog.jsonb_build_array(g.privilege_type, g.is_grantable,
    CASE g.grantee WHEN 0 THEN 'PUBLIC' WHEN {owner} THEN ''
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END, {column})"""
GRANT_ON_COLUMN = GRANT.format(owner="c.relowner", column="a.attname")
COLUMN_GRANTS = f"""
(SELECT pg_catalog.jsonb_agg(DISTINCT {GRANT_ON_COLUMN})
    FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS g
    WHERE a.attrelid = c.oid)::text AS column_grants
"""  # noqa: S608  # constants of this file only
"""Of all columns of ``pg_class AS c``, as JSON."""
REVOKE = """BEGIN
    EXECUTE (SELECT {revoke} || concat_ws(', ', 'PUBLIC', string_agg(DISTINCT r.rolname, ', '))
        FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS g, LATERAL (
            SELECT quote_ident(pg_get_userbyid(g.grantee)) AS rolname) AS r
        WHERE d.defaclobjtype = {letter} AND g.grantee NOT IN (0, d.defaclrole)
            AND pg_get_userbyid(d.defaclrole) = current_user
            AND pg_get_userbyid(g.grantee) IN ({usual}));
END"""
"""
Takes away what a new object of this role has by default, before anything is granted.

From those only who have it by default where the migration was written: what default
privileges give to others, in the database where it runs, was nobody's decision there.
"""
NOTHING: dict[str, Any] = {
    "owner": None,
    "grants": None,
    "limited": False,
    "decided": False,
    "usual": None,
}
LETTERS = {"VIEW": "r", "FUNCTION": "f"}

Grants = tuple[tuple[str, bool, str, str], ...]


@dataclass(frozen=True)
class Rights:
    """
    What must come back when an object is made anew.

    Attributes:
        owner: None if it is whoever asks.
        grants: privilege, whether it may be passed on, grantee as SQL (nothing is the
            owner), column or nothing.
        limited: whether the owner has not all privileges, so that his are granted too.
        decided: whether anybody granted or revoked something, also as a default.
        usual: who gets something by default.
    """

    owner: str | None = None
    grants: Grants = ()
    limited: bool = False
    decided: bool = False
    usual: tuple[str, ...] = ()

    def given(self, kind: str, name: str, columns: Container[str] = ()) -> Iterator[str]:
        """
        The SQL that gives them to the new object.

        Args:
            kind: ``VIEW`` or ``FUNCTION``.
            name: its quoted name, with the arguments of a function.
            columns: those that it has.
        """
        what = name if kind == "VIEW" else f"{kind} {name}"
        if self.decided:
            revoke = f"REVOKE ALL ON {what} FROM "
            if self.usual:
                body = REVOKE.format(
                    revoke=sql.literal(revoke),
                    letter=sql.literal(LETTERS[kind]),
                    usual=", ".join(map(sql.literal, self.usual)),
                )
                yield f"DO {sql.dollar(body)}"
            else:
                yield f"{revoke}PUBLIC"
        holder = "CURRENT_USER"
        if self.owner is not None:
            holder = sql.identifier(self.owner)
            yield f"ALTER {kind} {name} OWNER TO {holder}"
        if self.limited:
            yield f"REVOKE ALL ON {what} FROM {holder}"
        for privilege, grantable, grantee, column in self.grants:
            if not column or column in columns:
                act = f"{privilege} ({sql.identifier(column)})" if column else privilege
                option = " WITH GRANT OPTION" if grantable and grantee else ""
                yield f"GRANT {act} ON {what} TO {grantee or holder}{option}"


PLAIN = Rights()
"""What most objects have."""


def column_of_rights(kind: str, alias: str, column: str) -> str:
    """
    The column ``rights`` of a catalog query, for ``rights_of``.

    Args:
        kind: ``VIEW`` or ``FUNCTION``.
        alias: of the catalog in the query.
        column: how its columns begin: ``rel`` or ``pro``.
    """
    owner = f"{alias}.{column}owner"
    return RIGHTS.format(
        acl=f"{alias}.{column}acl",
        owner=owner,
        letter=LETTERS[kind],
        grant=GRANT.format(owner="r.oid", column="''"),
    )


def rights_of(found: str | None, column_grants: str | None = None) -> Rights:
    """
    From what the catalog query said.
    """
    if found is None and not column_grants:
        return PLAIN
    row = json.loads(found) if found is not None else NOTHING
    grants = (row["grants"] or []) if row["decided"] else []
    every = sorted(tuple(entry) for entry in [*grants, *json.loads(column_grants or "[]")])
    return Rights(
        owner=row["owner"],
        grants=tuple(entry for entry in every if entry[2] or row["limited"]),
        limited=row["limited"],
        decided=row["decided"],
        usual=tuple(row["usual"] or ()),
    )
