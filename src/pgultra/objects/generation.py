"""
The noun Generation: how a column of a table gets its value, by an expression or not.

SQLAlchemy and Alembic make and drop the column; neither can change the expression of a
generated column. This noun does: it drops the column and adds it again, with all that it had.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import rows
from pgultra.objects._column import BESIDE, Beside
from pgultra.objects.index import Index

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

__all__ = ["Generation"]

# 19 is 1 (of the row) + 2 (before) + 16 (update)
COLUMNS = f"""
SELECT n.nspname, c.relname, a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END
        AS expression,
    ARRAY(SELECT i.indexrelid::text
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_depend AS k ON k.classid = 'pg_catalog.pg_class'::regclass
            AND k.objid = i.indexrelid AND k.refclassid = 'pg_catalog.pg_class'::regclass
            AND k.refobjid = a.attrelid AND k.refobjsubid = a.attnum
        WHERE i.indrelid = a.attrelid ORDER BY i.indexrelid) AS index_oids,
    ARRAY(SELECT o.attname::text
        FROM pg_catalog.pg_depend AS k
        JOIN pg_catalog.pg_attribute AS o ON o.attrelid = k.refobjid AND o.attnum = k.refobjsubid
        WHERE k.classid = 'pg_catalog.pg_attrdef'::regclass AND k.objid = d.oid
            AND k.refclassid = 'pg_catalog.pg_class'::regclass AND k.refobjid = a.attrelid
            AND o.attnum <> a.attnum ORDER BY o.attnum) AS reads,
    ARRAY(SELECT t.tgname::text FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = a.attrelid AND NOT t.tgisinternal
            AND t.tgtype & 19 = 19 ORDER BY t.tgname) AS triggers,
    {BESIDE}
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
"""  # noqa: S608  # constants of these files only
READ = f"""
{COLUMNS} AND (n.nspname, c.relname, a.attname) IN (
    SELECT * FROM unnest(
        CAST(:schemas AS name[]), CAST(:tables AS name[]), CAST(:names AS name[])))
"""  # noqa: S608  # constants of this file only
TWINS = f"""
{COLUMNS} AND c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
    AND a.attgenerated <> ''
"""
OF_THE_TABLE = Mark("table", "column")
"""A column is its table's: it bears no mark, since Alembic compares the comments of columns."""


@dataclass(frozen=True, kw_only=True)
class Generation(DatabaseObject):
    """
    The expression of a generated column, or None for a column that is none.

    Args:
        name: the column.
        table: its table.
        type: as PostgreSQL prints it.
        expression: what stands after ``GENERATED ALWAYS AS``.
        indexes: made again when the column is; not compared.
        beside: constraints, grants and comment of the column, which come back with it; not
            compared.
        reads: columns of the expression, as PostgreSQL says; not compared.
        triggers: BEFORE UPDATE row triggers of the table, with any of which PostgreSQL computes
            the column anew on each update; not compared.

    >>> area = Generation(name="area", table="field", type="integer", expression="side * side")
    >>> area.create()
    ('ALTER TABLE field ADD COLUMN area integer GENERATED ALWAYS AS (side * side) STORED',)
    """

    kind: ClassVar[str] = "generation"
    dropped: ClassVar[bool] = False
    of_its_table: ClassVar[bool] = True

    name: str
    table: str
    type: str
    expression: str | None = None
    indexes: tuple[Index, ...] = field(default=(), compare=False)
    beside: Beside = field(default=Beside(), compare=False, repr=False)
    reads: tuple[str, ...] = field(default=(), compare=False)
    triggers: tuple[str, ...] = field(default=(), compare=False)
    absent: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        table = Identity("table", self.schema, self.table)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, table))))
        object.__setattr__(self, "mark", OF_THE_TABLE)

    def owned(self, application: str, room: str) -> Self:
        """
        The column bears no mark, its indexes do.
        """
        return self.but(indexes=tuple(each.owned(application, room) for each in self.indexes))

    @memoized_property
    def identity(self) -> Identity:
        """
        Schema, table and column.
        """
        return Identity("generation", self.schema, self.name, self.table)

    @property
    def _table(self) -> str:
        return sql.qualified(self.schema, self.table)

    def target(self) -> str:
        """
        ``COLUMN table.column``.
        """
        return f"COLUMN {self._table}.{sql.identifier(self.name)}"

    def remark(self) -> tuple[str, ...]:
        """
        Nothing: a column bears no mark.
        """
        return ()

    def create(self) -> tuple[str, ...]:
        """
        The column, with its indexes and what else it had.
        """
        how = f" GENERATED ALWAYS AS ({self.expression}) STORED" if self.expression else ""
        column = f"{sql.identifier(self.name)} {self.type}{how}"
        return (
            f"ALTER TABLE {self._table} ADD COLUMN {column}",
            *(
                text
                for index in self.indexes
                for text in dataclasses.replace(index, concurrently=False).create()
            ),
            *self.beside.statements(self._table, self.name),
        )

    def drop(self) -> tuple[str, ...]:
        """
        The column goes, and its indexes with it.
        """
        return (f"ALTER TABLE {self._table} DROP COLUMN {sql.identifier(self.name)}",)

    def in_place(self, old: Self) -> bool:
        """
        Only a column that stops to be generated keeps what it holds.
        """
        return self.expression is None

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        Drop the expression, or the column.
        """
        if self.expression is None:
            name = sql.identifier(self.name)
            return (f"ALTER TABLE {self._table} ALTER COLUMN {name} DROP EXPRESSION",)
        return (*old.drop(), *self.heir_of(old).create())

    def heir_of(self, old: Self) -> Self:
        """
        With the indexes, constraints and grants of the old column.
        """
        own = {index.name for index in self.indexes}
        more = tuple(index for index in old.indexes if index.name not in own)
        # what is declared knows nothing of it: on the way back it is what was read
        beside = self.beside if old.beside == Beside() else old.beside
        return dataclasses.replace(self, indexes=(*self.indexes, *more), beside=beside)

    def without(self, names: Collection[str]) -> Self:
        """
        But for the indexes and constraints that are dropped and made by steps of their own.
        """
        kept = tuple(index for index in self.indexes if index.name not in names)
        return dataclasses.replace(self, indexes=kept, beside=self.beside.without(names))

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal expressions; a column that is not there is its table's affair.
        """
        if isinstance(other, Generation) and (self.absent or other.absent):
            return True
        return super().same_as(other)

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Generation]:
        """
        The wanted columns, also those that are not there yet.
        """
        wanted = {
            (scope.real(each.schema), each.table or "", each.name): each
            for each in scope.of_kind("generation")
        }
        if not wanted:
            return
        found = rows(
            connection,
            READ,
            schemas=[schema for schema, _, _ in wanted],
            tables=[table for _, table, _ in wanted],
            names=[name for _, _, name in wanted],
        )
        for row in found:
            identity = wanted.pop((row.nspname, row.relname, row.attname))
            seen = dataclasses.replace(
                scope, wanted=frozenset(), marked={"pg_class.i": list(row.index_oids)}
            )
            yield cls(
                name=identity.name,
                table=row.relname,
                schema=scope.spelt(row.nspname),
                type=row.type,
                expression=row.expression,
                reads=tuple(row.reads) if row.expression else (),
                triggers=tuple(row.triggers),
                beside=Beside.of(row.beside, scope),
                indexes=tuple(Index.read(connection, seen)),
            )
        for schema, table, name in wanted:
            yield cls(name=name, table=table, schema=scope.spelt(schema), type="", absent=True)

    def trusting(self, other: DatabaseObject) -> Self:
        """
        With the other's printed text.
        """
        return dataclasses.replace(self, expression=getattr(other, "expression", None))

    @classmethod
    def twins(
        cls,
        desired: Sequence[Generation],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Generation, tuple[str, ...]]]:
        """
        A temporary table like the column's own, with the column generated anew.
        """
        for each in desired:
            other = actual.get(each.identity)
            if each.expression and isinstance(other, Generation) and not each.same_as(other):
                name = next(names)
                twin = dataclasses.replace(each, schema="pg_temp", table=name, indexes=())
                like = f"CREATE TEMPORARY TABLE {name} (LIKE {each._table})"
                yield name, each, (like, *twin.drop(), *twin.create())

    @classmethod
    def printed_forms(
        cls, connection: Connection, twins: Mapping[str, Generation]
    ) -> Mapping[str, Generation]:
        """
        The expression as PostgreSQL prints it.
        """
        return {
            row.relname: dataclasses.replace(
                twins[row.relname], expression=row.expression, type=row.type
            )
            for row in rows(connection, TWINS, names=list(twins))
        }
