"""
A conversion from its first step to its last, each of which the journal knows.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion import build, exchange, rows
from pgultra.features.partitions.conversion.acts import Act, Step
from pgultra.features.partitions.conversion.alone import alone
from pgultra.features.partitions.conversion.design import Design, design
from pgultra.features.partitions.conversion.drift import drifted, taken_back
from pgultra.features.partitions.conversion.homes import homes_of
from pgultra.features.partitions.conversion.journal import Entry, journal_of
from pgultra.features.partitions.conversion.lacking import foreseen
from pgultra.features.partitions.conversion.latch import latch
from pgultra.features.partitions.conversion.leafwise import LEAVES, crowded
from pgultra.features.partitions.conversion.materialized import Materialized, in_the_way, readers
from pgultra.features.partitions.conversion.meanwhile import (
    insist_mirrored,
    insist_unaltered,
    kept,
    mirror_again,
)
from pgultra.features.partitions.conversion.obstacles import name_taken, refuse
from pgultra.features.partitions.conversion.patience import Patience
from pgultra.features.partitions.conversion.references import constrain, foreign_keys
from pgultra.features.partitions.conversion.rehearsal import rehearse_rows
from pgultra.features.partitions.conversion.rehome import rehome
from pgultra.features.partitions.conversion.snapshots import moment, outlive
from pgultra.features.partitions.conversion.survey import Survey, survey, table_oid
from pgultra.features.partitions.conversion.ties import validate
from pgultra.features.partitions.conversion.together import together
from pgultra.features.partitions.conversion.turning import note, rehearse, turn
from pgultra.features.partitions.conversion.widening import widen, widen_itself
from pgultra.plan import apply
from pgultra.plan.compare import Plan
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.homes import Homes
    from pgultra.features.partitions.conversion.route import Route
    from pgultra.features.partitions.rules import Rules

__all__ = ["Conversion"]


@dataclass
class Conversion:
    """
    One table on its way.

    Attributes:
        connection: in no transaction.
        table, rules: what the model says.
        give_up: what may be lost.
        batch: rows in a page.
        patience: how it waits.
        progress: is told rows done and rows expected.
        announce: is told each step.
    """

    way: ClassVar[str] = "copy"
    steps: ClassVar[tuple[str, ...]] = tuple(
        "build mirror copy compare constrain exchange settle".split()  # noqa: SIM905  # one line
    )

    connection: Connection
    table: sa.Table
    rules: Rules
    give_up: tuple[str, ...] = ()
    batch: int | None = None
    patience: Patience = field(init=False)
    progress: Callable[[int, int], object] | None = None
    announce: Callable[[str], object] | None = None
    lock_timeout: dataclasses.InitVar[float] = 0.2
    wait: dataclasses.InitVar[float] = 300.0
    entry: Entry = field(init=False, default_factory=Entry)
    views: list[Materialized] = field(init=False, default_factory=list)
    begun: float = field(init=False, default_factory=time.perf_counter)

    def __post_init__(self, lock_timeout: float, wait: float) -> None:
        if self.connection.in_transaction():
            raise PgultraError(
                "a conversion is many transactions of its own: give a connection that is in none"
            )
        if sql.schema_on(self.connection, self.table.schema) != self.table.schema:
            raise PgultraError(
                f"a conversion finds table {self.table.fullname} by the search_path, and this "
                "connection has a schema_translate_map that puts it elsewhere: set the search_path "
                "of a connection without one"
            )
        self.patience = Patience(self.connection, lock_timeout, wait)
        with self.connection.begin():
            self.home = home_of(self.connection, [self.table.metadata])
        self.schema = self.table.schema or self.home
        self.journal = journal_of(self.table.metadata, self.schema, self.table.name)

    # -- what is there ------------------------------------------------------------------------

    def alone(self) -> AbstractContextManager[None]:
        """
        One converter for one table; the isolation level is put back afterwards.

        Raises:
            PgultraError: somebody else is at it.
        """
        return alone(self.connection, f"{self.schema}.{self.table.name}", self.table.fullname)

    def look(self, name: str | None = None) -> Survey:
        """
        The table as it is now, within a transaction.

        Raises:
            PgultraError: there is none.
        """
        oid = table_oid(self.connection, self.schema, name or self.table.name)
        if oid is None:
            raise PgultraError(f"there is no table {self.schema}.{name or self.table.name}")
        return survey(self.connection, oid)

    def load(self) -> bool:
        """
        Read the journal; True if a conversion is under way.
        """
        with self.patience.transaction() as connection:
            entry = self.journal.read(connection)
        if entry is not None:
            self.entry = entry
            self.patience.longest = max(self.patience.longest, entry.state.get("longest", 0.0))
        return entry is not None

    def design(self) -> Design:
        """
        What the new table shall be, by the old one as it was at the start.
        """
        old = Survey(self.entry.state["old"])
        give_up = tuple(self.entry.state["give_up"])
        return design(old, self.table, self.rules, give_up, self.home)

    def prepared(self) -> tuple[Design, Homes]:
        """
        Look at the table and decide, before anything starts.

        Raises:
            PgultraError: something stands in the way; all of it is said.
        """
        with self.patience.transaction() as connection:
            old = self.look()
            if old["kind"] == "p":
                raise PgultraError(f"{self.table.fullname} is partitioned already")
            if old["kind"] != "r":
                raise PgultraError(f"{self.table.fullname} is not a table")
            found = design(old, self.table, self.rules, self.give_up, self.home)
            old = foreseen(old, found.widened, self.entry.state.get("added", ()))
            found = design(old, self.table, self.rules, self.give_up, self.home)
            self.views = readers(connection, old.oid, found.lost)
            others = [*in_the_way(self.views, found.lost), *name_taken(connection, found)]
            refuse(self.table, [*found.obstacles, *others])
            homes = self.divided(found, homes_of(connection, found, self.table, self.rules))
            refuse(self.table, crowded(found, len(homes.leaves()) + (self.way == "attach")))
            return found, homes

    def divided(self, found: Design, homes: Homes) -> Homes:
        """
        The partitions as this way of converting makes them.
        """
        return homes

    # -- steps --------------------------------------------------------------------------------

    def forward(self) -> None:
        """
        All steps from where the journal is.
        """
        steps = list(self.steps)
        if self.entry.step:
            steps = steps[steps.index(self.entry.step) + 1 :]
        for name in steps:
            if self.announce is not None:
                self.announce(name)
            getattr(self, f"do_{name}")()

    def done(self, connection: Connection, step: str) -> None:
        """
        Write a step into the journal, in the transaction that did it.
        """
        self.entry.step = step
        self.entry.state["longest"] = self.patience.longest
        self.journal.write(connection, self.entry)

    def run(
        self,
        step: Step,
        then: Callable[[Connection], None] | None = None,
        *,
        blocking: bool = True,
    ) -> None:
        """
        A step in one transaction, its line in the journal included.
        """

        def once() -> None:
            with self.patience.transaction(blocking=blocking) as connection:
                for act in step.acts:
                    connection.execute(sql.statement(act.text))
                if then is not None:
                    then(connection)
                self.done(connection, step.name)

        self.patience.until_it_works(once)

    def do_build(self) -> None:
        """
        The new table; a rehearsal shows that it takes rows of the old one.
        """
        widen_itself(self)
        found, homes = self.prepared()
        self.entry = self.opened(found, homes)
        step = build.build(found, homes)
        acts = tuple(Act(each) for each in self.journal.creation()) + step.acts
        step = dataclasses.replace(step, acts=acts)

        def rehearsed(connection: Connection) -> None:
            rehearse_rows(connection, found)
            rehearse(connection, self.views)

        # it only reads the old table, and nobody else sees the new one yet
        self.run(step, rehearsed, blocking=False)

    def opened(self, found: Design, homes: Homes) -> Entry:
        """
        The first line of the journal.
        """
        return Entry(
            self.way,
            state={
                "old": dict(found.old.document),
                "shape": found.old.shape(),
                "attributes": found.old.attributes(),
                "give_up": list(self.give_up),
                "nets": [list(each) for each in homes.nets()],
                "added": self.entry.state.get("added", []),
            },
        )

    def do_mirror(self) -> None:
        """
        The triggers on the old table.
        """
        self.run(build.mirror(self.design()))

    def do_copy(self) -> None:
        """
        All rows, page by page.
        """
        state = self.entry.state
        state.setdefault("copied", 0)
        expected = max(int(self.entry.state["old"]["rows"]), 1)

        def done(connection: Connection, position: list[str] | None, seen: int) -> None:
            before = state["copied"]
            state["copied"] = before + seen
            try:
                if position is None:
                    self.done(connection, "copy")
                else:
                    self.journal.advance(connection, position, state["copied"])
                    self.entry.position = position
            except DBAPIError:
                state["copied"] = before  # the page is taken back, and comes again
                raise
            if self.progress is not None:
                self.progress(state["copied"], max(expected, state["copied"]))

        rows.copy(self.patience, self.design().route(), self.entry.position, self.batch, done)

    def do_compare(self) -> None:
        """
        Both tables, row by row.
        """
        found = self.design()
        self.compare(found.route())
        analyze = Act(f"ANALYZE {found.names.new}")
        self.run(Step("compare", "both tables, row by row", (analyze,)), blocking=False)

    def compare(self, route: Route) -> None:
        """
        Compare and mend; what was found is for the result.
        """
        compared = rows.settled(self.patience, route)
        state = self.entry.state
        state["rows"], state["checksum"] = compared.rows, str(compared.checksum)
        state["repaired"] = state.get("repaired", 0) + compared.repaired
        if compared.repaired or route.keyed:
            with self.patience.transaction() as connection:
                state["whole"] = moment(connection)

    def leaves(self, connection: Connection, name: str) -> list[tuple[str, str]]:
        """
        The partitions that hold rows, without those that catch what has no place.
        """
        oid = table_oid(connection, self.schema, name)
        nets = {net for _, net in self.entry.state["nets"]}
        found = connection.execute(LEAVES, {"oid": oid})
        return [tuple(row) for row in found if sql.qualified(*row) not in nets]

    def do_constrain(self) -> None:
        """
        The foreign keys, checked partition by partition without a long lock.
        """
        found = self.design()
        with self.patience.transaction() as connection:
            leaves = self.leaves(connection, found.names.new_name)
        for each in foreign_keys(found, leaves):
            self.patience.until_it_works(partial(constrain, self.patience, each))
        widen(self.patience, found)
        with self.patience.transaction() as connection:
            self.done(connection, "constrain")

    def do_exchange(self) -> None:
        """
        The names.
        """

        def step(found: Design, now: Survey, leaves: list[str]) -> Step:
            return exchange.exchange(found, now, self.entry.state["nets"], leaves)

        found = self.design()
        mirror_again(self, self.table.name, found.names.forward, found.route())
        self.exchanged(step)

    def exchanged(self, step_of: Callable[[Design, Survey, list[str]], Step]) -> None:
        """
        Lock, look at the table as it is under the lock, and exchange.
        """
        found, copied = self.design(), self.way == "copy"

        def once() -> None:
            state = self.entry.state
            moved = rehome(self.patience, found, self.table, self.rules, state["nets"])
            with self.patience.transaction() as connection:
                leaves = self.leaves(connection, found.names.new_name)
                if copied and (moved or "whole" not in state):
                    state["whole"] = moment(connection)
            if copied:
                outlive(self.patience, state["whole"])
            with self.patience.transaction(blocking=True) as connection:
                latch(connection, found.old.oid, step_of(found, found.old, []).acts[0])
                now = self.look()
                insist_unaltered(self, now)
                if copied:
                    insist_mirrored(self, now, found.names.forward)
                state["before"] = dict(now.document)
                note(self, connection, now.oid, found.lost)
                spelt = [sql.qualified(*each) for each in leaves]
                together(connection, (act.text for act in step_of(found, now, spelt).acts[1:]))
                state["kept"] = kept(self.look(), leaves)
                self.done(connection, "exchange")

        self.patience.until_it_works(once)

    def do_settle(self) -> None:
        """
        What may take its time once the names are exchanged.
        """
        found = self.design()
        validate(self.patience, found)
        turn(self, self.retired(found))

        def once() -> None:
            with self.patience.transaction(blocking=True, safe=False) as connection:
                steps = drifted(connection, self.table, self.rules, self.home)
                apply(Plan(steps), connection)
                self.entry.state["beside"] = list(taken_back(steps, self.schema))
                self.done(connection, "settle")

        self.patience.until_it_works(once)

    def retired(self, found: Design) -> str:
        """
        The table that had the name before, quoted.
        """
        return found.names.old
