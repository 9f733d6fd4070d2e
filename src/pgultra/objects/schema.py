"""
The noun Schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.objects._base import DatabaseObject, Identity, Mark, Phase, Scope
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

__all__ = ["Schema"]

READ = """
SELECT n.nspname, d.description
FROM pg_catalog.pg_namespace AS n
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = n.oid AND d.classoid = 'pg_catalog.pg_namespace'::regclass AND d.objsubid = 0
WHERE n.nspname = ANY (:names) OR n.oid = ANY (CAST(:marked AS oid[]))
ORDER BY n.nspname
"""


@dataclass(frozen=True, kw_only=True)
class Schema(DatabaseObject):
    """
    A schema, made before everything that lives in it.

    Dropping is refused by PostgreSQL while anything is left inside.

    >>> Schema(name="shop").create()
    ('CREATE SCHEMA shop',)
    """

    kind: ClassVar[str] = "schema"
    phase: ClassVar[Phase] = Phase.BEFORE_TABLES

    name: str

    @memoized_property
    def identity(self) -> Identity:
        """
        A schema sits in no schema.
        """
        return Identity("schema", None, self.name)

    def target(self) -> str:
        """
        ``SCHEMA name``.
        """
        return f"SCHEMA {sql.identifier(self.name)}"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE SCHEMA`` and the mark.
        """
        return (f"CREATE SCHEMA {sql.identifier(self.name)}", *self.commented())

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP SCHEMA``, which PostgreSQL refuses while it holds anything.
        """
        return (f"DROP SCHEMA {sql.identifier(self.name)}",)

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Schema]:
        """
        The wanted and the marked schemas.
        """
        names = [identity.name for identity in scope.of_kind("schema")]
        marked = scope.marked.get("pg_namespace", [])
        if not names and not marked:
            return
        for row in rows(connection, READ, names=names, marked=marked):
            comment, mark = Mark.parse(row.description)
            yield cls(name=row.nspname, comment=comment, mark=mark)
