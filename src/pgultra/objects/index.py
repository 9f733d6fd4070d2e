"""
The noun Index: wraps a SQLAlchemy index that stays in its table.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.schema import CreateIndex
from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import rows
from pgultra.objects._indexes import LEFTOVER, PARAMETER, SWAP, parted, tail
from pgultra.objects._printed import remark_with_print

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import sqlalchemy
    from sqlalchemy import Connection

    from pgultra.objects.extension import Advised

__all__ = ["Index"]

READ = """
SELECT n.nspname, c.relname, t.relname AS tablename, i.indisunique, (i.indisvalid AND i.indisready)
        OR (c.relkind = 'I' AND EXISTS ( -- maintenance builds the rest, by these rules
            SELECT FROM pg_catalog.pg_proc AS r
            WHERE r.oid = ANY (CAST(:rules AS oid[])) AND r.pronamespace = t.relnamespace
                AND t.relname = CASE WHEN r.prosrc LIKE 'SELECT $rules${%'
                    THEN pg_catalog.split_part(r.prosrc, '$rules$', 2)::jsonb ->> 'table' END
        )) AS valid, c.relkind = 'I' AS only, d.description,
    pg_catalog.pg_get_indexdef(c.oid) AS definition
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_description AS d
    ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
WHERE c.relkind IN ('i', 'I')
    AND (c.oid IN (SELECT pg_catalog.unnest(CAST(:marked AS oid[])))
        OR c.relname IN (SELECT pg_catalog.unnest(CAST(:names AS name[]))))
ORDER BY n.nspname, c.relname
"""
TWINS = """
SELECT t.relname, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
WHERE t.relnamespace = pg_catalog.pg_my_temp_schema() AND t.relname = ANY (:names)
"""


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
        advised: the versions of extensions that it wants; older ones are warned of.
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
    untouched: bool = field(default=True, compare=False, repr=False)
    concurrently: bool = field(default=False, compare=False)
    only: bool = field(default=False, compare=False)
    later: bool = field(default=False, compare=False)
    advised: tuple[Advised, ...] = field(default=(), compare=False)
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
        if not self.concurrently:
            return (self._build(self.name), *self.commented())
        index, leftover = sql.qualified(self.schema, self.name), self._beside("leftover")
        rename = sql.literal(f"ALTER INDEX {index} RENAME TO {sql.identifier(leftover)}")
        return (
            LEFTOVER.format(index=sql.literal(index), rename=rename),
            self._drop_if_there(leftover),
            self._build(self.name, " IF NOT EXISTS"),
            *self.commented(),
        )

    def _build(self, name: str, unless: str = "") -> str:
        unique = "UNIQUE " if self.unique else ""
        how = f"CONCURRENTLY{unless} " if self.concurrently else ""
        only = "ONLY " if self.only and not self.concurrently else ""
        table = sql.qualified(self.schema, self.table)
        return (
            f"CREATE {unique}INDEX {how}{sql.identifier(name)} ON {only}{table} {self.definition}"
        )

    def _beside(self, word: str) -> str:
        """
        A name for as long as the index is built or replaced.
        """
        return sql.short_name(self.name, f"pgultra_{word}")

    def _drop_if_there(self, name: str) -> str:
        return f"DROP INDEX CONCURRENTLY IF EXISTS {sql.qualified(self.schema, name)}"

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP INDEX``.
        """
        how = "CONCURRENTLY " if self.concurrently else ""
        return (f"DROP INDEX {how}{sql.qualified(self.schema, self.name)}",)

    def in_place(self, old: Self) -> bool:
        """
        What is built CONCURRENTLY stands before the old one goes.
        """
        return self.concurrently

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        Drop and build; CONCURRENTLY, build beside the old one, and then take its place.

        So a unique index keeps duplicates out all the time, and queries have an index.
        """
        new = self.heir_of(old)
        if not self.concurrently:
            return (*old.but(concurrently=False).drop(), *new.create())
        if not old.valid:
            return new.create()
        made, leftover = self._beside("new"), self._beside("leftover")
        swap = SWAP.format(
            index=sql.qualified(self.schema, self.name),
            leftover=sql.identifier(leftover),
            new=sql.qualified(self.schema, made),
            name=sql.identifier(self.name),
        )
        return (
            *(self._drop_if_there(name) for name in (made, leftover)),
            self._build(made),
            swap,
            *new.commented(),
            self._drop_if_there(leftover),
        )

    def remark(self) -> tuple[str, ...]:
        """
        With the fingerprint of the printed text beside that of the declared one.

        One that was read gets its mark back as it was, as a view does.
        """
        if self.mark is None or self.mark.fingerprint is None or self.mark.printed is not None:
            return super().remark()
        name = sql.qualified(self.schema, self.name)
        return remark_with_print(
            "INDEX", name, printer="pg_get_indexdef", comment=self.comment, mark=self.mark
        )

    def same_as(self, other: DatabaseObject) -> bool:
        """
        Equal definitions, or the fingerprints that were written when it was built.
        """
        if not isinstance(other, Index):
            return False
        if self.valid and other.valid and other.untouched and self.mark and other.mark:
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
        before, _, after = parted(self.definition)
        return dataclasses.replace(self, definition=before + after)

    def _filled(self, defaults: tuple[tuple[str, str], ...]) -> Index:
        """
        With all storage parameters, in one order and at the end.
        """
        before, named, after = parted(self.definition)
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
        rules = [*scope.marked.get("pg_proc.rules", ())]
        for row in rows(connection, READ, marked=marked, names=names, rules=rules):
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
                untouched=mark is None or mark.printed in (None, sql.fingerprint(row.definition)),
                concurrently=mark is not None and mark.fingerprint is None and not row.only,
                definition=tail(row.definition),
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
            row.relname: dataclasses.replace(twins[row.relname], definition=tail(row.definition))
            for row in rows(connection, TWINS, names=list(twins))
        }


def _is_partitioned(table: sqlalchemy.Table) -> bool:
    return bool(table.dialect_options["postgresql"].get("partition_by"))
