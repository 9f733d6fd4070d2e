"""
The way without a copy: the table becomes the first partition of a new, empty one.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.bounds import RangeBound
from pgultra.features.partitions.conversion import build, exchange
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.concurrent import concurrently
from pgultra.features.partitions.conversion.homes import homes_of, value_of
from pgultra.features.partitions.conversion.run import Conversion
from pgultra.features.partitions.conversion.survey import table_oid
from pgultra.features.partitions.conversion.turning import rehearse
from pgultra.features.partitions.conversion.widening import CHECK_VIOLATION, widen, widen_itself
from pgultra.features.partitions.ddl import BOUND
from pgultra.objects import Mark
from pgultra.plan.declare import application_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.design import Design, Planned
    from pgultra.features.partitions.conversion.homes import Homes
    from pgultra.features.partitions.conversion.journal import Entry
    from pgultra.features.partitions.conversion.survey import Survey

__all__ = ["Attachment", "taken_away", "unique_indexes"]

CHECK_STATE = text(
    "SELECT k.convalidated FROM pg_catalog.pg_constraint AS k "
    "WHERE k.conrelid = CAST(CAST(:oid AS bigint) AS oid) AND k.conname = CAST(:name AS name)"
)


CHILDREN = text(
    "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_inherits AS i "
    "JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid "
    "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE i.inhparent = CAST(CAST(:oid AS bigint) AS oid)"
)
LASTING = timedelta(days=7)
"""So long the conversion of a table with short partitions may take."""
ROUNDS = 5
"""So often the bound is decided anew, because a row came that is beyond it."""


class Attachment(Conversion):
    """
    A table on its way to become a partition.
    """

    way: ClassVar[str] = "attach"
    steps: ClassVar[tuple[str, ...]] = ("build", "index", "check", "exchange", "settle")

    def divided(self, found: Design, homes: Homes) -> Homes:
        """
        Decide what the first partition holds: all rows there are, up to the end of the next cell.

        Nothing bounds it below, so that rows of long ago are taken as before; and it holds the
        days that the indexes and the CHECK may take.

        Raises:
            PgultraError: the rules have no such partition.
        """
        grid = self.rules.grid(self.table)
        if grid is None:
            raise PgultraError(
                f"{self.table.fullname}: way='attach' needs ByRange with every=, so that all rows "
                "there are fit one partition; convert with way='copy'"
            )
        ranges = [(name, bound) for name, bound in homes.named if isinstance(bound, RangeBound)]
        others = tuple(each for each in homes.named if not isinstance(each[1], RangeBound))
        typed = found.old.column(self.rules.key_column(self.table).name)
        assert typed is not None  # an obstacle otherwise
        last = value_of(homes.greatest, typed["type"])
        if grid.unit != "integer":
            present = grid.value_at(homes.moment)
            last = present if last is None else max(last, present)
        end = grid.cell(0 if last is None else last)
        ends = [grid.next(end) or end]
        if grid.unit != "integer":
            ends.append(grid.cell(grid.value_at(homes.moment + LASTING)))
        upper = max(ends, key=lambda each: (each.upper is None, each.upper)).upper
        self.first, self.child = RangeBound(None, upper), ranges[0][0]
        left = tuple(
            (name, bound)
            for name, bound in ranges
            if upper is not None and bound.lower is not None and bound.lower >= upper
        )
        return dataclasses.replace(homes, named=(*left, *others))

    def opened(self, found: Design, homes: Homes) -> Entry:
        """
        The bound of the first partition is remembered.
        """
        entry = super().opened(found, homes)
        entry.state["nets"] = []
        entry.state |= self.decided()
        return entry

    def decided(self) -> dict[str, str]:
        """
        The first partition: its name, its bound, and the CHECK that says the same.
        """
        column = sql.identifier(self.rules.key_column(self.table).name)
        return {
            "child": self.child,
            "bound": self.first.render(),
            "check": self.first.check(column),
        }

    def do_build(self) -> None:
        """
        The new table with its partitions for the time to come, and its foreign keys.
        """
        widen_itself(self)
        found, homes = self.prepared()
        self.entry = self.opened(found, homes)
        step = dataclasses.replace(self.building(found, homes), name="build")
        self.run(
            step,
            lambda connection: rehearse(connection, self.views),
            blocking=bool(found.outgoing),
        )

    def building(self, found: Design, homes: Homes) -> Step:
        """
        As for a copy, but with foreign keys, which have nothing to check yet; without nets.
        """
        step = build.build(found, homes, caught=False)
        keys = [
            Act(
                f"ALTER TABLE {found.names.new} ADD CONSTRAINT {sql.identifier(each['name'])} "
                f"{each['definition']}"
            )
            for each in found.outgoing
        ]
        journal = tuple(Act(each) for each in self.journal.creation())
        return dataclasses.replace(step, acts=(*journal, *step.acts, *keys), notes=())

    def do_index(self) -> None:
        """
        Unique indexes with the key, built while everybody goes on writing.
        """
        found = self.design()
        for name, statement in unique_indexes(found):
            concurrently(self.patience, self.schema, name, statement)
        widen(self.patience, found)
        with self.patience.transaction() as connection:
            self.done(connection, "index")

    def do_check(self) -> None:
        """
        A CHECK that says what the bound will say, so that ATTACH need not look.
        """
        found = self.design()
        for _ in range(ROUNDS):
            with self.patience.transaction() as connection:
                there = self.checked(connection, found)
            if there is None:
                self.patience.until_it_works(partial(self.bounded, found))
            if there or self.holds(found):
                break
        else:
            raise PgultraError(
                f"{self.table.fullname}: while its rows are checked, there come others again and "
                f"again that are not {self.entry.state['bound']}: start again, or convert with "
                "way='copy'"
            )
        with self.patience.transaction() as connection:
            self.entry.state["shape"] = self.look().shape()
            self.done(connection, "check")

    def checked(self, connection: Connection, found: Design) -> bool | None:
        """
        Whether the CHECK is valid; None if it is not there.
        """
        state: bool | None = connection.execute(
            CHECK_STATE, {"oid": found.old.oid, "name": BOUND}
        ).scalar()
        return state

    def bounded(self, found: Design) -> None:
        """
        Add the CHECK; its bound is decided by the rows there are now, which may be others.
        """
        with self.patience.transaction() as connection:
            oid = table_oid(connection, self.schema, found.names.new_name)
            children = [(row[0], row[1]) for row in connection.execute(CHILDREN, {"oid": oid})]
            own = [name for _, name in children]
            homes = homes_of(connection, found, self.table, self.rules, own)
        homes = self.divided(found, homes)
        texts = []
        if self.decided() != {word: self.entry.state[word] for word in self.decided()}:
            texts += [f"DROP TABLE {sql.qualified(*each)}" for each in children]  # all are empty
            texts += [*homes.statements(), *build.told_apart(found, homes)]
        self.entry.state |= self.decided()
        with self.patience.transaction(blocking=True) as connection:
            for each in (*texts, self.checking(found)[0]):
                connection.execute(sql.statement(each))
            self.journal.write(connection, self.entry)

    def holds(self, found: Design) -> bool:
        """
        Validate the CHECK; if a row breaks it that came before it did, it goes again.
        """
        table = found.names.table

        def once(statement: str) -> None:
            with self.patience.transaction() as connection:
                connection.execute(sql.statement(statement))

        try:
            self.patience.until_it_works(partial(once, self.checking(found)[1]))
        except DBAPIError as error:
            if sqlstate_of(error) != CHECK_VIOLATION:
                raise
            drop = f"ALTER TABLE {table} DROP CONSTRAINT {BOUND}"
            self.patience.until_it_works(partial(once, drop))
            return False
        return True

    def checking(self, found: Design) -> tuple[str, str]:
        """
        The statements of that.
        """
        table, check = found.names.table, self.entry.state["check"]
        return (
            f"ALTER TABLE {table} ADD CONSTRAINT {BOUND} CHECK ({check}) NOT VALID",
            f"ALTER TABLE {table} VALIDATE CONSTRAINT {BOUND}",
        )

    def exchanging(self, found: Design, now: Survey, leaves: list[str]) -> Step:
        """
        The table becomes a partition, and the new one takes its name.
        """
        names = found.names
        child = sql.qualified(names.schema, self.entry.state["child"])
        mark = str(Mark(application_of(self.table.metadata), "partitions"))
        between = [
            *_keys_exchanged(found),
            *_without_identity(found),
            f"ALTER TABLE {names.old} RENAME TO {sql.identifier(self.entry.state['child'])}",
            f"ALTER TABLE {names.table} ATTACH PARTITION {child} {self.entry.state['bound']}",
            f"ALTER TABLE {child} DROP CONSTRAINT {BOUND}",
            f"COMMENT ON TABLE {child} IS {sql.literal(mark)}",
        ]
        return exchange.attached(found, now, [*leaves, child], between, child)

    def retired(self, found: Design) -> str:
        """
        The table that had the name before, which is a partition now.
        """
        return sql.qualified(found.names.schema, self.entry.state["child"])

    def do_exchange(self) -> None:
        """
        One short transaction.
        """
        self.exchanged(self.exchanging)


def unique_indexes(found: Design) -> Iterator[tuple[str, str]]:
    """
    Name and statement of each unique index that the table lacks.
    """
    for each, name in _lacking(found):
        tail = each.tail
        if each.constraint is not None:
            tail = each.constraint[each.constraint.index("(") :]
            tail += " NULLS NOT DISTINCT" if "NULLS NOT DISTINCT (" in each.constraint else ""
        place = f"{sql.identifier(name)} ON {found.names.table}"
        yield name, f"CREATE UNIQUE INDEX CONCURRENTLY {place} {tail}"


def _lacking(found: Design) -> Iterator[tuple[Planned, str]]:
    tails = {each["name"]: each["tail"] for each in found.old["indexes"]}
    kept = {each["name"]: each["definition"] for each in found.old.constraints("p", "u")}
    for each in found.indexes:
        if each.constraint is not None:
            same = kept.get(each.name) == each.constraint
        else:
            same = tails.get(each.name) == each.tail
        if not same:
            yield each, sql.short_name(each.name, "partitions", "first")


def taken_away(found: Design) -> Iterator[str]:
    """
    What was put on the old table, in case it stays what it is.
    """
    yield f"ALTER TABLE {found.names.table} DROP CONSTRAINT IF EXISTS {BOUND}"
    for _, name in _lacking(found):
        yield f"DROP INDEX IF EXISTS {sql.qualified(found.names.schema, name)}"


def _keys_exchanged(found: Design) -> Iterator[str]:
    """
    The old table's keys give way to those with the partition key.
    """
    called = {each.name: each for each in found.names.called if each.kind == "INDEX"}
    old = found.names.old
    primary = next(iter(found.old.constraints("p")), None)
    for each, name in _lacking(found):
        if each.constraint is None:
            continue
        kind = "UNIQUE"
        if each.constraint.startswith("PRIMARY"):
            kind = "PRIMARY KEY"
            if primary is not None:
                retired = sql.identifier(called[primary["name"]].old)
                yield f"ALTER TABLE {old} DROP CONSTRAINT {retired}"
        quoted = sql.identifier(name)
        yield f"ALTER TABLE {old} ADD CONSTRAINT {quoted} {kind} USING INDEX {quoted}"


def _without_identity(found: Design) -> Iterator[str]:
    for column in found.old.columns:
        if column["identity"]:
            name = sql.identifier(column["name"])
            yield f"ALTER TABLE {found.names.old} ALTER COLUMN {name} DROP IDENTITY"
