"""
The noun Check: a CHECK constraint added without a long lock.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import rows
from pgultra.objects._names import insist_on_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

__all__ = ["Check"]

READ = """
SELECT k.conname, n.nspname, c.relname, k.convalidated, d.description,
    pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS condition
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = k.oid AND d.classoid = 'pg_catalog.pg_constraint'::regclass AND d.objsubid = 0
WHERE k.contype = 'c' AND k.conislocal AND (
    (k.oid = ANY (CAST(:marked AS oid[])) AND (n.nspname, c.relname) IN (
        SELECT * FROM unnest(CAST(:schemas AS name[]), CAST(:tables AS name[]))))
    OR (n.nspname, c.relname, k.conname) IN (
        SELECT * FROM unnest(
            CAST(:wanted_schemas AS name[]), CAST(:wanted_tables AS name[]),
            CAST(:wanted_names AS name[]))))
ORDER BY n.nspname, c.relname, k.conname
"""
TWINS = """
SELECT c.relname, pg_catalog.pg_get_expr(k.conbin, k.conrelid) AS condition
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'c' AND k.conname = 'pgultra_twin_check'
    AND c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
"""


@dataclass(frozen=True, kw_only=True)
class Check(DatabaseObject):
    """
    A CHECK constraint of a room.

    It is added NOT VALID and validated by a statement of its own, which lets writes pass
    while it reads the table.

    Args:
        name: unique on its table.
        table: the table's name.
        condition: the expression as text.

    >>> Check(name="adult", table="person", condition="age > 17").create()[0]
    'ALTER TABLE person ADD CONSTRAINT adult CHECK (age > 17) NOT VALID'
    """

    kind: ClassVar[str] = "check"

    name: str
    table: str
    condition: str
    validated: bool = True

    def __post_init__(self) -> None:
        insist_on_name("check", self.name)
        table = Identity("table", self.schema, self.table)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, table))))

    @memoized_property
    def identity(self) -> Identity:
        """
        Name and table.
        """
        return Identity("check", self.schema, self.name, self.table)

    @property
    def _table(self) -> str:
        return sql.qualified(self.schema, self.table)

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints its text anew.
        """
        return True

    def target(self) -> str:
        """
        ``CONSTRAINT name ON table``.
        """
        return f"CONSTRAINT {sql.identifier(self.name)} ON {self._table}"

    def create(self) -> tuple[str, ...]:
        """
        Add NOT VALID, validate, mark.
        """
        name = sql.identifier(self.name)
        add = f"ALTER TABLE {self._table} ADD CONSTRAINT {name} CHECK ({self.condition}) NOT VALID"
        validate = f"ALTER TABLE {self._table} VALIDATE CONSTRAINT {name}"
        return (add, *((validate,) if self.validated else ()), *self.commented())

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP CONSTRAINT``.
        """
        return (f"ALTER TABLE {self._table} DROP CONSTRAINT {sql.identifier(self.name)}",)

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Check]:
        """
        The marked checks on our tables, and the wanted ones.
        """
        wanted = scope.of_kind("check")
        tables = sorted(scope.tables)
        marked = scope.marked.get("pg_constraint", [])
        if not wanted and not marked:
            return
        found = rows(
            connection,
            READ,
            marked=marked,
            schemas=[schema for schema, _ in tables],
            tables=[table for _, table in tables],
            wanted_schemas=[scope.real(identity.schema) for identity in wanted],
            wanted_tables=[identity.table for identity in wanted],
            wanted_names=[identity.name for identity in wanted],
        )
        for row in found:
            comment, mark = Mark.parse(row.description)
            yield cls(
                name=row.conname,
                table=row.relname,
                schema=scope.spelt(row.nspname),
                condition=row.condition,
                validated=row.convalidated,
                comment=comment,
                mark=mark,
            )

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed text.
        """
        return dataclasses.replace(self, condition=other.condition)

    @classmethod
    def twins(
        cls,
        desired: Sequence[Check],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Check, tuple[str, ...]]]:
        """
        A temporary table like the check's own, with the check on it.
        """
        for check in desired:
            other = actual.get(check.identity)
            if isinstance(other, Check) and check.condition != other.condition:
                name = next(names)
                yield (
                    name,
                    check,
                    (
                        f"CREATE TEMPORARY TABLE {name} (LIKE {check._table})",
                        (
                            f"ALTER TABLE pg_temp.{name} ADD CONSTRAINT pgultra_twin_check "
                            f"CHECK ({check.condition})"
                        ),
                    ),
                )

    @classmethod
    def printed_forms(
        cls, connection: Connection, twins: Mapping[str, Check]
    ) -> Mapping[str, Check]:
        """
        The condition as PostgreSQL prints it.
        """
        return {
            row.relname: dataclasses.replace(twins[row.relname], condition=row.condition)
            for row in rows(connection, TWINS, names=list(twins))
        }
