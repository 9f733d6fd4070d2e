"""
The noun Trigger: compared field by field, its WHEN as PostgreSQL prints it.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import QUOTED, rows
from pgultra.objects._partitions import ANY_TABLE, on_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import EllipsisType

    from sqlalchemy import Connection

__all__ = ["Trigger"]

COLUMNS = """
SELECT t.tgname AS name, t.tgtype, t.tgenabled AS enabled, t.tgdeferrable AS deferrable,
    t.tginitdeferred AS initially_deferred, t.tgconstraint <> 0 AS "constraint",
    t.tgoldtable AS old_table, t.tgnewtable AS new_table,
    pg_catalog.encode(t.tgargs, 'hex') AS arguments,
    CASE WHEN t.tgqual IS NOT NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END AS definition,
    CASE WHEN pg_catalog.cardinality(t.tgattr::int2[]) = 0 THEN '{}'
        ELSE ARRAY(SELECT a.attname::text
            FROM pg_catalog.unnest(t.tgattr::int2[]) WITH ORDINALITY AS k (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.tgrelid AND a.attnum = k.number
            ORDER BY k.place) END AS columns
"""
READ = f"""
{COLUMNS}, n.nspname, c.relname AS table, c.oid::text AS relation, p.proname AS function,
    c.relkind = 'p' AS divided,
    pn.nspname AS function_schema,
    (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid = t.oid AND d.classoid = 'pg_catalog.pg_trigger'::regclass
            AND d.objsubid = 0) AS description
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0
    AND (t.oid = ANY (CAST(:marked AS oid[])) OR t.tgname = ANY (CAST(:names AS name[])))
ORDER BY n.nspname, c.relname, t.tgname
"""  # noqa: S608  # constants of this file only
TWINS = f"""
{COLUMNS}, c.relname
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
"""
EVENTS = (("INSERT", 4), ("DELETE", 8), ("UPDATE", 16), ("TRUNCATE", 32))
KNOWN = tuple(event for event, _ in EVENTS)
ENABLED = {
    "O": "ENABLE TRIGGER",
    "D": "DISABLE TRIGGER",
    "R": "ENABLE REPLICA TRIGGER",
    "A": "ENABLE ALWAYS TRIGGER",
}
WHEN = re.compile(r" WHEN \((.*)\) EXECUTE FUNCTION ", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Trigger(DatabaseObject):
    """
    A trigger on a table or view of the same schema.

    Args:
        name: unique on its table.
        table: the table's name.
        timing: ``BEFORE``, ``AFTER`` or ``INSTEAD OF``.
        events: some of ``INSERT``, ``UPDATE``, ``DELETE``, ``TRUNCATE``.
        columns: those of ``UPDATE OF``.
        level: ``ROW`` or ``STATEMENT``.
        when: the condition, without the word and the outer parentheses.
        function: the trigger function's name.
        function_schema: its schema; that of the table unless said, None for the default one.
        arguments: texts that the function finds in ``TG_ARGV``.
        old_table, new_table: names of the transition tables.
        constraint, deferrable, initially_deferred: for constraint triggers.
        enabled: ``O`` origin and local (as usual), ``D`` disabled, ``R`` replica, ``A`` always.
        divided: whether the table is partitioned; told by the table, and not compared.

    >>> Trigger(name="seen", table="visit", timing="BEFORE", events=("INSERT",),
    ...         function="touch").create()
    ('CREATE TRIGGER seen BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION touch()',)
    """

    kind: ClassVar[str] = "trigger"

    name: str
    table: str
    timing: str
    events: tuple[str, ...]
    function: str
    function_schema: str | EllipsisType | None = ...
    columns: tuple[str, ...] = ()
    level: str = "ROW"
    when: str | None = None
    arguments: tuple[str, ...] = ()
    old_table: str | None = None
    new_table: str | None = None
    constraint: bool = False
    deferrable: bool = False
    initially_deferred: bool = False
    enabled: str = "O"
    divided: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.function_schema is ...:
            object.__setattr__(self, "function_schema", self.schema)
        object.__setattr__(self, "events", tuple(e for e in KNOWN if e in self.events))
        if not self.events or self.timing not in ("BEFORE", "AFTER", "INSTEAD OF"):
            raise DeclarationError(
                f"trigger {self.name} on table {self.table}: timing is BEFORE, AFTER or "
                f"INSTEAD OF, events are some of {', '.join(KNOWN)}"
            )
        needs = _needs(self.schema, self.table, self._function_schema, self.function)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, *needs))))

    @property
    def _function_schema(self) -> str | None:
        return None if self.function_schema is ... else self.function_schema

    @memoized_property
    def identity(self) -> Identity:
        """
        Name and table.
        """
        return Identity("trigger", self.schema, self.name, self.table)

    @property
    def _table(self) -> str:
        return sql.qualified(self.schema, self.table)

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints its text anew.
        """
        return self.when is not None

    def target(self) -> str:
        """
        ``TRIGGER name ON table``.
        """
        return f"TRIGGER {sql.identifier(self.name)} ON {self._table}"

    def moved(self, schema: str | None) -> Self:
        """
        With its function, if that lives in the same schema.
        """
        same = self.function_schema == self.schema
        return dataclasses.replace(
            self,
            schema=schema,
            function_schema=schema if same else self.function_schema,
        )

    def canonical(self, scope: Scope) -> Self:
        """
        With the function's schema spelt as ``read`` does.
        """
        moved = super().canonical(scope)
        spelt = scope.spelt(scope.real(moved._function_schema))
        if spelt == moved._function_schema:
            return moved
        return dataclasses.replace(moved, function_schema=spelt)

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE TRIGGER``, its firing mode if it is unusual, and the mark.
        """
        return (
            self._definition("CREATE"),
            *self._mode("O"),
            *self._copied(),
            *self.commented(),
        )

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP TRIGGER``.
        """
        text = f"DROP TRIGGER IF EXISTS {sql.identifier(self.name)} ON {ANY_TABLE}"
        return (*self._on_partitions(text), f"DROP {self.target()}")

    def in_place(self, old: Self) -> bool:
        """
        Nothing stands on a trigger, but constraint triggers cannot be replaced.
        """
        same = dataclasses.replace(old, enabled=self.enabled).same_as(self)
        return same or not (self.constraint or old.constraint)

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE TRIGGER``, or no more than its firing mode.
        """
        new = dataclasses.replace(self, comment=self.comment or old.comment)
        if dataclasses.replace(old, enabled=self.enabled).same_as(self):
            copies = self._copied() if old.enabled != self.enabled else ()
            marked = new.commented() if old.mark != self.mark else ()
            return (*self._mode(old.enabled), *copies, *marked)
        if not self.in_place(old):
            return (*old.drop(), *new.create())
        # the replaced trigger fires as a new one does: enabled
        return (
            self._definition("CREATE OR REPLACE"),
            *self._mode("O"),
            *self._copied(),
            *new.commented(),
        )

    def _mode(self, present: str, on: str | None = None) -> tuple[str, ...]:
        if self.enabled == present:
            return ()
        mode = f"{ENABLED[self.enabled]} {sql.identifier(self.name)}"
        return (f"ALTER TABLE {on or self._table} {mode}",)

    def _copied(self) -> tuple[str, ...]:
        """
        The same on partitions that exist, where PostgreSQL does not do it.
        """
        definition = self._definition("CREATE OR REPLACE", ANY_TABLE)
        return self._on_partitions(definition, *self._mode("O", ANY_TABLE))

    def _on_partitions(self, *statements: str) -> tuple[str, ...]:
        if not self.divided or self.level == "ROW":
            return ()
        return (on_partitions(self._table, statements),)

    def _definition(self, verb: str, on: str | None = None) -> str:
        columns = ", ".join(map(sql.identifier, self.columns))
        events = " OR ".join(
            f"UPDATE OF {columns}" if event == "UPDATE" and columns else event
            for event in self.events
        )
        words = [verb, "CONSTRAINT TRIGGER" if self.constraint else "TRIGGER"]
        words += [sql.identifier(self.name), self.timing, events, "ON", on or self._table]
        if self.deferrable:
            words.append("DEFERRABLE")
        if self.initially_deferred:
            words.append("INITIALLY DEFERRED")
        if self.old_table or self.new_table:
            words.append("REFERENCING")
            if self.old_table:
                words.append(f"OLD TABLE AS {sql.identifier(self.old_table)}")
            if self.new_table:
                words.append(f"NEW TABLE AS {sql.identifier(self.new_table)}")
        words.append(f"FOR EACH {self.level}")
        if self.when:
            words.append(f"WHEN ({self.when})")
        function = sql.qualified(self._function_schema, self.function)
        arguments = ", ".join(map(sql.literal, self.arguments))
        words.append(f"EXECUTE FUNCTION {function}({arguments})")
        return " ".join(words)

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Trigger]:
        """
        The marked triggers on our tables and views, and the wanted ones.
        """
        wanted = scope.of_kind("trigger")
        marked = scope.marked.get("pg_trigger", [])
        if not wanted and not marked:
            return
        names = sorted({identity.name for identity in wanted})
        our_views = set(scope.marked.get("pg_class.v", ()))
        for row in rows(connection, READ, marked=marked, names=names):
            schema = scope.spelt(row.nspname)
            if (
                (row.nspname, row.table) not in scope.tables
                and row.relation not in our_views
                and Identity("trigger", schema, row.name, row.table) not in scope.wanted
            ):
                continue
            comment, mark = Mark.parse(row.description)
            function_schema = scope.spelt(row.function_schema)
            timing, events, level = _firing(row.tgtype)
            yield cls.as_read(
                row,
                schema=schema,
                timing=timing,
                events=events,
                level=level,
                columns=tuple(row.columns),
                when=row.definition and _when(row.definition),
                arguments=_arguments(row.arguments) if row.arguments else (),
                function_schema=function_schema,
                requires=_needs(schema, row.table, function_schema, row.function),
                enabled=row.enabled if isinstance(row.enabled, str) else row.enabled.decode(),
                comment=comment,
                mark=mark,
            )

    def printed_as(self, form: Self) -> Self:
        """
        With WHEN as PostgreSQL prints it, so that a mere change of mode is seen as one.
        """
        return self if self.when == form.when else self.but(when=form.when)

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed text.
        """
        return self.but(when=other.when)

    @classmethod
    def twins(
        cls,
        desired: Sequence[Trigger],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Trigger, tuple[str, ...]]]:
        """
        A temporary table like the trigger's own, with the trigger on it, to see its WHEN.
        """
        for trigger in desired:
            other = actual.get(trigger.identity)
            if isinstance(other, Trigger) and trigger.when and other.when != trigger.when:
                name = next(names)
                twin = dataclasses.replace(
                    trigger,
                    table=name,
                    schema="pg_temp",
                    function="suppress_redundant_updates_trigger",
                    function_schema="pg_catalog",
                    arguments=(),
                )
                like = f"CREATE TEMPORARY TABLE {name} (LIKE {trigger._table})"
                yield name, trigger, (like, twin._definition("CREATE"))

    @classmethod
    def printed_forms(
        cls, connection: Connection, twins: Mapping[str, Trigger]
    ) -> Mapping[str, Trigger]:
        """
        WHEN as PostgreSQL prints it.
        """
        return {
            row.relname: dataclasses.replace(twins[row.relname], when=_when(row.definition))
            for row in rows(connection, TWINS, names=list(twins))
        }


def _needs(
    schema: str | None, table: str, function_schema: str | None, function: str
) -> tuple[Identity, Identity]:
    """
    What a trigger stands on.
    """
    return (
        Identity("function", function_schema, f"{function}()"),
        Identity("table", schema, table),
    )


def _when(definition: str) -> str | None:
    """
    The condition, from the definition; what stands in quotes is no syntax.
    """
    found = WHEN.search(QUOTED.sub(lambda quoted: "." * len(quoted[0]), definition))
    return definition[found.start(1) : found.end(1)] if found else None


@lru_cache(maxsize=128)
def _firing(bits: int) -> tuple[str, tuple[str, ...], str]:
    """
    Timing, events and level, from ``tgtype``.
    """
    timing = "BEFORE" if bits & 2 else "INSTEAD OF" if bits & 64 else "AFTER"
    events = tuple(event for event, bit in EVENTS if bits & bit)
    return timing, events, "ROW" if bits & 1 else "STATEMENT"


def _arguments(encoded: str) -> tuple[str, ...]:
    return tuple(part.decode() for part in bytes.fromhex(encoded).split(b"\x00")[:-1])
