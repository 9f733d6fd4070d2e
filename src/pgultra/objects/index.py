"""
The noun Index: wraps a SQLAlchemy index that stays in its table.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.schema import CreateIndex
from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import QUOTED, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import sqlalchemy
    from sqlalchemy import Connection

    from pgultra.objects.extension import Advised

__all__ = ["Index"]

READ = """
SELECT n.nspname, c.relname, t.relname AS tablename, i.indisunique, (i.indisvalid AND i.indisready)
        OR c.relkind = 'I' AS valid, c.relkind = 'I' AS only, d.description,
    pg_catalog.pg_get_indexdef(c.oid) AS definition
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('i', 'I')
    AND (c.oid = ANY (CAST(:marked AS oid[])) OR c.relname = ANY (CAST(:names AS name[])))
ORDER BY n.nspname, c.relname
"""
TWINS = """
SELECT t.relname, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
WHERE t.relnamespace = pg_catalog.pg_my_temp_schema() AND t.relname = ANY (:names)
"""
LEFTOVER = """DO $pgultra$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_index
            WHERE indexrelid = pg_catalog.to_regclass({literal}) AND NOT indisvalid) THEN
        EXECUTE {index};
    END IF;
END
$pgultra$"""
"""Drops what a broken CONCURRENTLY build left behind."""

PARAMETERS = re.compile(r" WITH \([^()]*\)")
PARAMETER = re.compile(r"(\w+) ?= ?'?([^',()]+)")


@dataclass(frozen=True, kw_only=True)
class Index(DatabaseObject):
    """
    An index whose migration is ours: built CONCURRENTLY if wanted, repaired if INVALID.

    Made with ``Index.of(a_sqlalchemy_index)``; the SQLAlchemy index stays where it is, so
    ``create_all`` and the planner's friends see an ordinary index.

    Args:
        name, table: the names.
        unique: whether it is.
        definition: what stands after the table's name in ``CREATE INDEX``.
        concurrently: build and drop it without blocking writes, outside a transaction.
        only: on a partitioned table and not on its partitions, which get theirs one by one.
        later: it is built by an explicit call, once there are rows. A missing one is no
            drift, and whoever builds it chooses its storage parameters; one that would serve
            another query is dropped, and waits for the next call.
        advised: the version of an extension that it wants; an older one is warned of.
        defaults: storage parameters, with their values, that an index has which does not say
            them: one that somebody built without is the same.

    >>> from sqlalchemy import Column, Index as PlainIndex, Integer, MetaData, Table
    >>> table = Table("visit", MetaData(), Column("day", Integer))
    >>> Index.of(PlainIndex("visit_day", table.c.day), concurrently=True).definition
    '(day)'
    """

    kind: ClassVar[str] = "index"

    name: str
    table: str
    definition: str
    unique: bool = False
    valid: bool = True
    concurrently: bool = field(default=False, compare=False)
    only: bool = field(default=False, compare=False)
    later: bool = field(default=False, compare=False)
    advised: Advised | None = field(default=None, compare=False)
    defaults: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        table = Identity("table", self.schema, self.table)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, table))))

    @classmethod
    def of(cls, index: sqlalchemy.Index, *, concurrently: bool = False) -> Index:
        """
        Wrap an index of a table.

        Raises:
            DeclarationError: it has no name or sits on no table yet.
        """
        if index.table is None or index.name is None:
            raise DeclarationError(f"index {index.name!r} needs a name and a table")
        name = sql.render_index_name(index)
        text = str(CreateIndex(index).compile(dialect=sql.dialect()))
        spelt, table = sql.spelling(index)
        head = f"CREATE {'UNIQUE ' if index.unique else ''}INDEX "
        for word in ("CONCURRENTLY ", ""):
            start = f"{head}{word}{spelt} ON {table} "
            if text.startswith(start):
                definition = text[len(start) :]
                break
        else:
            raise DeclarationError(f"index {name} on table {table}: cannot read {text!r}")
        return cls(
            name=name,
            table=index.table.name,
            schema=index.table.schema,
            unique=bool(index.unique),
            definition=definition,
            # a partitioned table has its index at once, its partitions get theirs one by one
            concurrently=(concurrently or word != "") and not _is_partitioned(index.table),
            only=_is_partitioned(index.table),
        )

    @memoized_property
    def identity(self) -> Identity:
        """
        Schema and name; the table besides.
        """
        return Identity("index", self.schema, self.name, self.table)

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints its text anew; what was built CONCURRENTLY is always looked at.
        """
        return not self.concurrently

    def target(self) -> str:
        """
        ``INDEX name``.
        """
        return f"INDEX {sql.qualified(self.schema, self.name)}"

    def source(self) -> str:
        """
        What the fingerprint is taken of: all that cannot be altered in place.
        """
        return f"{self.unique} {self.definition}"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE INDEX`` and the mark.

        A CONCURRENTLY build can be run again after it broke off: what the earlier try left
        behind INVALID is dropped, and what it finished is kept. Its mark bears no
        fingerprint, so that the next check looks at the index itself.
        """
        unique = "UNIQUE " if self.unique else ""
        name, table = sql.identifier(self.name), sql.qualified(self.schema, self.table)
        if not self.concurrently:
            only = "ONLY " if self.only else ""
            build = f"CREATE {unique}INDEX {name} ON {only}{table} {self.definition}"
            return (build, *self.commented())
        index = sql.qualified(self.schema, self.name)
        return (
            LEFTOVER.format(literal=sql.literal(index), index=sql.literal(f"DROP INDEX {index}")),
            f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {self.definition}",
            *self.commented(),
        )

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP INDEX``.
        """
        how = "CONCURRENTLY " if self.concurrently else ""
        return (f"DROP INDEX {how}{sql.qualified(self.schema, self.name)}",)

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        Drop and build; a CONCURRENTLY build drops the old one the same way.
        """
        new = dataclasses.replace(self, comment=self.comment or old.comment)
        gone = dataclasses.replace(old, concurrently=self.concurrently)
        return (*gone.drop(), *new.create())

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal definitions, or the fingerprint that was written when it was built.
        """
        if not isinstance(other, Index):
            return False
        if self.valid and other.valid and self.mark and other.mark:
            mine = self.mark.fingerprint
            if mine is not None and mine == other.mark.fingerprint:
                return (self.identity, self.unique) == (other.identity, other.unique)
        if self.later:
            return super(Index, self._plain()).same_as(other._plain())
        if self.defaults:
            filled = other._filled(self.defaults)
            return super(Index, self._filled(self.defaults)).same_as(filled)
        return super().same_as(other)

    def _plain(self) -> Index:
        """
        Without storage parameters.
        """
        before, _, after = _parted(self.definition)
        return dataclasses.replace(self, definition=before + after)

    def _filled(self, defaults: tuple[tuple[str, str], ...]) -> Index:
        """
        With all storage parameters, in one order and at the end.
        """
        before, named, after = _parted(self.definition)
        found = sorted({**dict(defaults), **dict(PARAMETER.findall(named))}.items())
        return dataclasses.replace(self, definition=f"{before}{after} WITH {found}")

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Index]:
        """
        The marked and the wanted indexes of our tables.
        """
        wanted = scope.of_kind("index")
        marked = [*scope.marked.get("pg_class.i", ()), *scope.marked.get("pg_class.I", ())]
        if not wanted and not marked:
            return
        names = sorted({identity.name for identity in wanted})
        for row in rows(connection, READ, marked=marked, names=names):
            if (row.nspname, row.tablename) not in scope.tables:
                continue
            comment, mark = Mark.parse(row.description)
            if mark is None and not row.valid:  # a CONCURRENTLY build that broke off
                mark = Mark(scope.application, "unfinished")
            yield cls(
                name=row.relname,
                table=row.tablename,
                schema=scope.spelt(row.nspname),
                unique=row.indisunique,
                valid=row.valid,
                only=row.only,
                definition=_tail(row.definition),
                comment=comment,
                mark=mark,
            )

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed text.
        """
        return dataclasses.replace(self, definition=other.definition)

    @classmethod
    def twins(
        cls,
        desired: Sequence[Index],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Index, tuple[str, ...]]]:
        """
        A temporary table like the index's own, with the index on it.
        """
        for index in desired:
            other = actual.get(index.identity)
            if isinstance(other, Index) and not index.same_as(other):
                name = next(names)
                twin = dataclasses.replace(
                    index, name=name + "_i", table=name, schema=None, mark=None, concurrently=False
                )
                table = sql.qualified(index.schema, index.table)
                like = f"CREATE TEMPORARY TABLE {name} (LIKE {table} INCLUDING GENERATED)"
                yield name, index, (like, *twin.create())

    @classmethod
    def printed_forms(
        cls, connection: Connection, twins: Mapping[str, Index]
    ) -> Mapping[str, Index]:
        """
        The definition as PostgreSQL prints it.
        """
        return {
            row.relname: dataclasses.replace(twins[row.relname], definition=_tail(row.definition))
            for row in rows(connection, TWINS, names=list(twins))
        }


def _is_partitioned(table: sqlalchemy.Table) -> bool:
    return bool(table.dialect_options["postgresql"].get("partition_by"))


def _tail(definition: str) -> str:
    """
    What stands after the table's name: ``USING btree (…) …``; quoted names are passed over.
    """
    return definition[_masked(definition).index(" USING ") + 1 :]


def _parted(definition: str) -> tuple[str, str, str]:
    """
    What stands before the storage parameters, these, and what stands after them.

    >>> _parted("USING gin (x) WITH (fastupdate='off') WHERE (y <> ' WITH (z)'::text)")
    ('USING gin (x)', " WITH (fastupdate='off')", " WHERE (y <> ' WITH (z)'::text)")
    """
    masked = _masked(definition)
    found = PARAMETERS.search(masked)
    at, end = found.span() if found else (len(masked), len(masked))
    return definition[:at], definition[at:end], definition[end:]


def _masked(definition: str) -> str:
    """
    With dots for texts and quoted names.
    """
    return QUOTED.sub(lambda quoted: "." * len(quoted[0]), definition)
