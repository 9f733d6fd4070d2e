"""
plan and maintain: what is to be done, and doing it, while the application goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from pgultra.bridge import on_connection
from pgultra.errors import PgultraError
from pgultra.features.partitions.attempts import Attempts, alone
from pgultra.features.partitions.child_indexes import build
from pgultra.features.partitions.conversion.journal import insist_finished
from pgultra.features.partitions.growth import drain_bound, premake, shield
from pgultra.features.partitions.planning import MaintenancePlan
from pgultra.features.partitions.retirement import Retired, detach, dispose, note, unfollowed
from pgultra.features.partitions.runs import record
from pgultra.features.partitions.survey import (
    FAILURES,
    declared,
    metadata_of,
    moment_of,
    said,
    seen,
    survey,
)
from pgultra.features.partitions.tasks import index_tasks
from pgultra.plan.options import seconds, whole
from pgultra.plan.read import own_transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.archive import Archived
    from pgultra.features.partitions.draining import Drained
    from pgultra.features.partitions.level import Level
    from pgultra.features.partitions.planning import Action
    from pgultra.features.partitions.survey import Survey
    from pgultra.features.partitions.tasks import Task

__all__ = ["Maintained", "Problem", "maintain", "plan"]

ROUNDS = 8
"""How deep a tree of partitioned indexes can be; each round builds one level of it."""


@dataclass(frozen=True)
class Problem:
    """
    What could not be done; the rest was.

    Attributes:
        table: the partitioned table.
        action: what was tried.
        error: what the database, or pgultra, said.
    """

    table: str
    action: str
    error: str

    def __str__(self) -> str:
        return f"{self.table}: {self.action}: {self.error}"


@dataclass
class Maintained:
    """
    What ``maintain`` did.

    Attributes:
        done: the actions that were done, in their order.
        problems: what could not be done, and why.
        findings: what a person should look at.
        busy: tables that another run was at: they are its business.
        archived: files that were written.
        drained: rows that left default partitions.
        waited: how often an act had to give way to somebody's lock.
    """

    done: list[Action] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    archived: list[Archived] = field(default_factory=list)
    drained: list[Drained] = field(default_factory=list)
    waited: int = 0

    @property
    def complete(self) -> bool:
        """
        Whether everything was done.
        """
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{action.table}: {action}" for action in self.done]
        lines += [f"busy: another run is at {table}" for table in self.busy]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"! {finding}" for finding in self.findings]
        return "\n".join(lines) or "nothing to do"


@on_connection
def plan(
    connection: Connection,
    metadata: Any,  # a MetaData, a declarative base, or several of them
    *,
    now: datetime | None = None,
    archive_to: str | Path | None = None,
) -> MaintenancePlan:
    """
    Tell what ``maintain`` would do now, without doing any of it.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        metadata: a MetaData, a declarative base, or a list of them.
        now: the present, if not by the server's clock.
        archive_to: as for ``maintain``.

    Raises:
        DeclarationError: ``metadata`` or ``now`` is something else.
        ValueError: ``now`` has no time zone.

    Example:
        ``print(partitions.plan(connection, Base))``
    """
    with own_transaction(connection):
        moment = moment_of(connection, now)
        found = survey(connection, metadata_of(metadata), moment, archive_to)
    return MaintenancePlan(
        tuple(task.action for each in found for task in each.tasks),
        tuple(finding for each in found for finding in each.findings),
    )


@on_connection
def maintain(
    connection: Connection,
    metadata: Any,  # a MetaData, a declarative base, or several of them
    *,
    now: datetime | None = None,
    archive_to: str | Path | None = None,
    lock_timeout: float = 2.0,
    attempts: int = 10,
    pause: float = 0.5,
    batch: int = 10_000,
    progress: Callable[[Action], object] | None = None,
) -> Maintained:
    """
    Do what ``plan`` tells: make partitions, build indexes, take away what is too old.

    Call it every hour or every night, from as many hosts as you like. No act locks the
    parent against readers or writers, unless it has a default partition; each waits for a
    lock only so long, and tries again. What cannot be done is told in the result, and the
    other tables are seen to.

    Args:
        connection: in no transaction, and to the server itself: advisory locks and DETACH
            CONCURRENTLY need a session. With an AsyncConnection, await the result.
        metadata: a MetaData, a declarative base, or a list of them.
        now: the present, if not by the server's clock.
        archive_to: where ``on_expire="archive"`` puts partitions: the name of a schema, or a
            Path of a folder; the rules' own schema if left out.
        lock_timeout: seconds for which one attempt waits for a lock.
        attempts: how often each act is tried.
        pause: seconds before the second attempt; then they double.
        batch: rows of a default partition that are copied in one transaction.
        progress: called before each action.

    Raises:
        PgultraError: the connection is in a transaction.

    Example:
        ``partitions.maintain(connection, Base).complete``
    """
    seconds("maintain", "lock_timeout", lock_timeout)
    whole("maintain", "attempts", attempts, 1, 1_000_000)
    whole("maintain", "batch", batch, 1, 100_000_000)
    if pause != 0:
        seconds("maintain", "pause", pause)
    several = metadata_of(metadata)
    hand = Attempts(connection, lock_timeout, attempts, pause)
    result = Maintained()
    with hand.levels():
        with hand.transaction():
            moment = moment_of(connection, now)
            found = declared(connection, several)
        for place, bare in enumerate(found):
            if not bare.is_ours:
                result.findings += bare.findings
                continue
            try:
                each = found[place] = seen(hand, bare, moment, archive_to)
                if not each.tasks:
                    result.findings += each.findings
                    continue
                assert each.parent.oid is not None  # there is something to do
                with alone(connection, each.parent.oid) as held:
                    if not held:
                        result.busy.append(each.parent.spelt)
                        continue
                    # somebody may have been here meanwhile
                    indexes = any(task.index is not None for task in each.tasks)
                    again = seen(hand, each, moment, archive_to, indexes=indexes)
                    result.findings += again.findings
                    _Work(hand, again, progress, result).run(moment, archive_to, batch)
            except FAILURES as error:
                if connection.invalidated or connection.closed:
                    raise
                if connection.in_transaction():
                    connection.rollback()
                result.problems.append(Problem(bare.parent.spelt, "look at it", said(error)))
        result.waited = hand.tried
        _record(hand, found, result)
    return result


def _record(hand: Attempts, found: Sequence[Survey], result: Maintained) -> None:
    """
    Write down which tables were seen to; those that another run is at are its business.
    """
    parents = [each.parent for each in found if each.is_ours]
    done: dict[str, int] = {}
    problems: dict[str, list[str]] = {}
    for action in result.done:
        done[action.table] = done.get(action.table, 0) + 1
    for problem in result.problems:
        problems.setdefault(problem.table, []).append(f"{problem.action}: {problem.error}")
    seen = [parent for parent in parents if parent.spelt not in result.busy]
    reason = record(hand, seen, done, problems)
    if reason is not None:
        result.findings.append(reason)


class _Work:
    """
    The tasks of one table, in their order; one that fails does not stop the others.
    """

    def __init__(
        self,
        hand: Attempts,
        found: Survey,
        progress: Callable[[Action], object] | None,
        result: Maintained,
    ) -> None:
        self.hand, self.found, self.result = hand, found, result
        self.progress = progress or (lambda action: None)

    def tasks(self, *verbs: str) -> list[Task]:
        return [task for task in self.found.tasks if task.action.verb in verbs]

    def attempt(self, tasks: Sequence[Task], act: Callable[[], object]) -> bool:
        for task in tasks:
            self.progress(task.action)
        try:
            act()
        except (DBAPIError, PgultraError, OSError) as error:
            connection = self.hand.connection
            if connection.invalidated or connection.closed:
                raise
            if connection.in_transaction():
                connection.rollback()
            names = "; ".join(str(task.action) for task in tasks)
            self.result.problems.append(Problem(self.found.parent.spelt, names, said(error)))
            return False
        self.result.done += [task.action for task in tasks]
        return True

    def run(self, moment: datetime, archive_to: str | Path | None, batch: int) -> None:
        for task in self.tasks("clear"):
            self.attempt([task], partial(self.hand.run, task.action.statements))
        for task in self.tasks("drain"):
            self.attempt([task], partial(self.drain, task, batch))
        creates = self.tasks("create")
        if creates:
            self.attempt(creates, partial(self.create, creates, moment))
        self.index()
        for task in self.tasks("detach", "drop", "archive", "finish", "dispose"):
            self.attempt([task], partial(self.remove, task, archive_to))

    def drain(self, task: Task, batch: int) -> None:
        default, bound = task.level.default, task.action.bound
        assert default is not None  # it is what there is to drain
        assert bound is not None
        self.result.drained.append(
            drain_bound(self.hand, task.level, default, task.name, bound, batch)
        )

    def create(self, tasks: Sequence[Task], moment: datetime) -> None:
        """
        By the function that pg_cron calls, too; a default partition is asked before.
        """
        away: list[str] = []
        try:
            for level in {task.level.oid: task.level for task in tasks}.values():
                own = [task for task in tasks if task.level.oid == level.oid]
                bounds = [task.action.bound for task in own if task.action.bound is not None]
                if level.default is not None:
                    shield(self.hand, level, level.default, bounds, away)
            made = premake(self.hand, tasks[0].level.parent, moment)
        finally:
            if away and not self.hand.connection.invalidated:
                self.hand.run(away)
        if len(made) < len(tasks):
            raise PgultraError(
                f"only {len(made)} of {len(tasks)} could be made: {', '.join(made) or 'none'}"
            )

    def index(self) -> None:
        """
        Level by level, until there is nothing left but what failed.
        """
        todo, failed = self.tasks("index"), set[str]()
        if not todo and self.tasks("create"):  # a parent's index may be valid with those alone
            todo = self.unindexed()
        for _ in range(ROUNDS):
            if not todo:
                return
            for task in todo:
                assert task.index is not None  # it is what the task is about
                if not self.attempt([task], partial(build, self.hand, task.index)):
                    failed.add(task.action.child)
            todo = [task for task in self.unindexed() if task.action.child not in failed]

    def unindexed(self) -> list[Task]:
        with self.hand.transaction(patient=True) as connection:
            return index_tasks(connection, self.found)

    def remove(self, task: Task, archive_to: str | Path | None) -> None:
        level, application = task.level, task.level.parent.application
        rules: Any = level.rules
        retired = task.retired
        if retired is None:
            child = task.child
            assert child is not None  # a partition, or what was one
            retired = Retired(
                child.oid,
                child.schema,
                child.name,
                (level.schema, level.name),
                child.bound.render(),
                rules.on_expire,
            )
            self.hand.until_it_works(partial(self.note, retired, level))
        above, plainly = (level.schema, level.name), level.default is not None
        detach(self.hand, above, retired, unfollowed(level.parent, retired.table), plainly=plainly)
        place = archive_to if archive_to is not None else getattr(rules, "archive", None)
        archived = dispose(self.hand, retired, application, place)
        if archived is not None:
            self.result.archived.append(archived)

    def note(self, retired: Retired, level: Level) -> None:
        with self.hand.transaction() as connection:
            insist_finished(connection, level.parent)
            note(connection, retired, level.parent.application)
