"""
The noun Trigger: compared field by field, its WHEN as PostgreSQL prints it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Scope
from pgultra.objects._catalog import records, rows
from pgultra.objects._names import insist_on_name
from pgultra.objects._partitions import ANY_TABLE, on_partitions
from pgultra.objects._texts import untabbed
from pgultra.objects._trigger_catalog import EVENTS, READ, TWINS, arguments_of, firing_of, when_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import EllipsisType

    from sqlalchemy import Connection

__all__ = ["Trigger"]

KNOWN = tuple(event for event, _ in EVENTS)
ENABLED = {
    "O": "ENABLE TRIGGER",
    "D": "DISABLE TRIGGER",
    "R": "ENABLE REPLICA TRIGGER",
    "A": "ENABLE ALWAYS TRIGGER",
}


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
        unlike: how many partitions lack it or have it otherwise; told by the server.

    Raises:
        DeclarationError: there is no name, a word is none of those above, ``columns`` are said
            without UPDATE, or what is no constraint trigger is to be deferred.

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
    unlike: int = 0

    def __post_init__(self) -> None:
        if self.function_schema is ...:
            object.__setattr__(self, "function_schema", self.schema)
        known = tuple(e for e in KNOWN if e in self.events)
        if len(known) == len(set(self.events)):  # else one is misspelt, or it is a plain text
            object.__setattr__(self, "events", known)
        insist_on_name("trigger", self.name)
        for wrong, sentence in self._mistakes():
            if wrong:
                raise DeclarationError(f"trigger {self.name} on table {self.table}: {sentence}")
        for texts in ("columns", "arguments"):
            object.__setattr__(self, texts, tuple(getattr(self, texts)))
        if self.initially_deferred:  # PostgreSQL takes it for both
            object.__setattr__(self, "deferrable", True)
        needs = _needs(self.schema, self.table, self._function_schema, self.function)
        object.__setattr__(self, "requires", tuple(dict.fromkeys((*self.requires, *needs))))

    def _mistakes(self) -> Iterator[tuple[bool, str]]:
        """
        What cannot be, with what to write instead.
        """
        yield (
            not self.events
            or not set(self.events) <= set(KNOWN)
            or self.timing not in ("BEFORE", "AFTER", "INSTEAD OF"),
            f"timing is BEFORE, AFTER or INSTEAD OF, events are some of {', '.join(KNOWN)}",
        )
        yield (
            self.level not in ("ROW", "STATEMENT"),
            f"level={self.level!r} is not ROW or STATEMENT",
        )
        yield (
            self.enabled not in ENABLED,
            f"enabled={self.enabled!r} is not O (usual), D (disabled), R (replica) or A (always)",
        )
        for option in ("columns", "arguments"):
            given = getattr(self, option)
            yield (
                not isinstance(given, tuple | list) or not all(isinstance(a, str) for a in given),
                f"{option}={given!r} is not a tuple of texts",
            )
        yield (
            bool(self.columns) and "UPDATE" not in self.events,
            "columns are those of UPDATE OF; add UPDATE to events, or leave them out",
        )
        yield (
            not self.constraint and (self.deferrable or self.initially_deferred),
            "only a constraint trigger can be deferred; add constraint=True",
        )
        yield self.when == "", "when is empty; leave it out"

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

    def source(self) -> str:
        """
        What the fingerprint is taken of: not what the server alone knows.
        """
        return repr([getattr(self, name) for name in self._compared() if name != "unlike"])

    def target(self) -> str:
        """
        ``TRIGGER name ON table``.
        """
        return f"TRIGGER {sql.identifier(self.name)} ON {self._table}"

    def moved(self, schema: str | None) -> Self:
        """
        With its function, if that lives in the same schema.
        """
        follows = schema if self.function_schema == self.schema else self.function_schema
        return dataclasses.replace(self, schema=schema, function_schema=follows)

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
        return (self._definition("CREATE"), *self._mode("O"), *self._copied(), *self.commented())

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP TRIGGER``.
        """
        text = f"DROP TRIGGER IF EXISTS {sql.identifier(self.name)} ON {ANY_TABLE}"
        return (*self._on_partitions(text), f"DROP {self.target()}")

    def in_place(self, old: Self) -> bool:
        """
        Nothing stands on a trigger, but some cannot be replaced.

        Neither constraint triggers can, nor what is of rows on a partitioned table by what is
        of statements: PostgreSQL hands on only the one.
        """
        if (self.divided or old.divided) and self.level != old.level:
            return False
        return self._same_but_mode(old) or not (self.constraint or old.constraint)

    def _same_but_mode(self, old: Self) -> bool:
        """
        Whether no more than the firing mode is to be changed, here or on partitions.
        """
        return dataclasses.replace(old, enabled=self.enabled, unlike=0).same_as(self)

    def same_as(self, other: DatabaseObject) -> bool:
        """
        A function without a schema is one of PostgreSQL's own if that has one of the name.
        """
        same = super().same_as(other)
        if not same and isinstance(other, Trigger):
            schemas = {self._function_schema, other._function_schema}
            if schemas == {None, "pg_catalog"}:
                own = dataclasses.replace(self, function_schema="pg_catalog")
                return own.same_as(dataclasses.replace(other, function_schema="pg_catalog"))
        return same

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE TRIGGER``, or no more than its firing mode.
        """
        new = dataclasses.replace(
            self, comment=self.comment or old.comment, divided=self.divided or old.divided
        )
        if self._same_but_mode(old):
            changed = old.enabled != self.enabled or old.unlike > 0
            # told to the table, PostgreSQL tells it to all partitions
            mode = new._mode("" if old.unlike else old.enabled)
            copies = new._copied() if changed else ()
            marked = new.commented() if old.mark != self.mark else ()
            return (*mode, *copies, *marked)
        if not self.in_place(old):
            return (*old.drop(), *new.create())
        # the replaced trigger fires as a new one does: enabled
        return (
            self._definition("CREATE OR REPLACE"),
            *new._mode("" if old.unlike else "O"),
            *new._copied(),
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
            words.append(f"WHEN ({untabbed(self.when)})")
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
        for row in records(connection, READ, marked=marked, names=names):
            schema = scope.spelt(row.nspname)
            if (
                (row.nspname, row.table) not in scope.tables
                and row.relation not in our_views
                and Identity("trigger", schema, row.name, row.table) not in scope.wanted
            ):
                continue
            comment, mark = Mark.parse(row.description)
            function_schema = scope.spelt(row.function_schema)
            timing, events, level = firing_of(row.tgtype)
            yield cls.as_read(
                row,
                schema=schema,
                timing=timing,
                events=events,
                level=level,
                columns=tuple(row.columns),
                when=row.definition and when_of(row.definition),
                arguments=arguments_of(row.arguments) if row.arguments else (),
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
            row.relname: dataclasses.replace(twins[row.relname], when=when_of(row.definition))
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
