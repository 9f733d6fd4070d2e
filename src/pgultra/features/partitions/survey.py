"""
The state of each declared table: what it consists of, and what upkeep shall do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import MetaData

from pgultra import sql
from pgultra.features.partitions import ddl
from pgultra.features.partitions.bounds import DefaultBound
from pgultra.features.partitions.child_indexes import indexes_to_build
from pgultra.features.partitions.children import parents_of, read_children
from pgultra.features.partitions.draining import trigger_name
from pgultra.features.partitions.names import child_name, free_name
from pgultra.features.partitions.partman import managed_by_partman
from pgultra.features.partitions.planning import (
    Action,
    cutoff_of,
    expired,
    marked_tree,
    missing,
)
from pgultra.features.partitions.retirement import DONE, retired_tables
from pgultra.features.partitions.rules import ByRange
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.child_indexes import IndexWork
    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.retirement import Retired
    from pgultra.features.partitions.rules import Rules

__all__ = [
    "Level",
    "Survey",
    "Task",
    "index_tasks",
    "metadata_of",
    "moment_of",
    "survey",
    "table_of",
    "taken",
]

NAMES = """
SELECT c.relname FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = ANY (:names)
"""
COPIES = """
SELECT t.tgname FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid::text = :table AND t.tgname = ANY (:triggers)
"""


@dataclass(frozen=True)
class Task:
    """
    An action with what is needed to do it.
    """

    action: Action
    level: Level
    child: Child | None = None
    retired: Retired | None = None
    index: IndexWork | None = None
    name: str = ""


@dataclass(frozen=True)
class Level:
    """
    One partitioned table of a tree: the one at the top, or a partition with partitions.

    Attributes:
        parent: the table at the top.
        oid, schema, name: this table.
        rules, grid: of this level.
        children: those right below it.
        current: the present as a value of the key; None for a list or hash.
    """

    parent: Parent
    oid: int
    schema: str
    name: str
    rules: Rules
    grid: Grid | None
    children: tuple[Child, ...]
    current: Any = None

    @property
    def spelt(self) -> str:
        """
        Schema and name as SQL.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def default(self) -> Child | None:
        """
        The default partition, if there is one.
        """
        found = (each for each in self.children if isinstance(each.bound, DefaultBound))
        return next(found, None)

    @property
    def column(self) -> str:
        """
        The key's column, quoted.
        """
        return sql.identifier(self.rules.key_column(self.parent.table).name)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """
        What is taken; by partitions that are being detached no more.
        """
        return tuple(each.bound for each in self.children if not each.detaching)

    def missing(self, moment: datetime) -> tuple[Bound, ...]:
        """
        What should be there and is not.
        """
        fixed = self.rules.bounds_for(self.parent.table, self.spelt)
        return missing(self.rules, self.grid, self.bounds, self.current, fixed, moment)

    def cutoff(self, moment: datetime) -> Any:
        """
        The value below which rows are not kept.
        """
        return cutoff_of(self.rules, self.grid, moment, self.current)


@dataclass
class Survey:
    """
    What is known of one declared table.

    Attributes:
        parent: the table.
        levels: it, and its partitions that have partitions.
        children: all partitions, at every level.
        tasks: what upkeep shall do.
        findings: what a person should look at.
    """

    parent: Parent
    levels: tuple[Level, ...] = ()
    children: tuple[Child, ...] = ()
    tasks: list[Task] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def metadata_of(given: Any) -> list[MetaData]:
    """
    A MetaData, a declarative base, a mapped class, or several of them, as a list of MetaData.
    """
    several = given if isinstance(given, list | tuple) else [given]
    return [each if isinstance(each, MetaData) else each.metadata for each in several]


def table_of(given: Any) -> sa.Table | None:
    """
    The one table that is meant, if it is a Table or a mapped class.
    """
    if isinstance(given, sa.Table):
        return given
    mapper = sa.inspect(given, raiseerr=False) if isinstance(given, type) else None
    table = getattr(mapper, "local_table", None)
    return table if isinstance(table, sa.Table) else None


def moment_of(connection: Connection, now: datetime | None) -> datetime:
    """
    The present: as it was given, or by the server's clock.
    """
    if now is not None:
        if now.tzinfo is None:
            raise ValueError(f"now={now!r} has no time zone")
        return now
    moment: datetime = rows(connection, "SELECT pg_catalog.now() AS now")[0].now
    return moment


def survey(
    connection: Connection,
    metadata: MetaData | Iterable[MetaData],
    moment: datetime,
    archive_to: str | Path | None = None,
    *,
    only: int | None = None,
) -> list[Survey]:
    """
    Look at every declared table, and tell what is to be done.

    Args:
        connection: in a transaction.
        metadata: whose tables.
        moment: the present.
        archive_to: where to archive, if the rules do not say it.
        only: the oid of the one table that is of interest.
    """
    parents = parents_of(connection, metadata)
    if only is not None:
        parents = tuple(each for each in parents if each.oid == only)
    theirs = managed_by_partman(connection) if parents else frozenset()
    ours, found = [], []
    for parent in parents:
        each = Survey(parent)
        found.append(each)
        if parent.oid is None:
            each.findings.append(f"{parent.spelt} is not there: migrate, or call create_all")
        elif (parent.schema, parent.name) in theirs:
            each.findings.append(
                f"{parent.spelt} is managed by pg_partman and left alone; "
                "see the how-to on moving over"
            )
        elif parent.strategy != parent.rules.strategy:
            state = f"partitioned by {parent.strategy}" if parent.strategy else "a plain table"
            each.findings.append(
                f"{parent.spelt} is {state}, not partitioned by {parent.rules.strategy} as its "
                "model says: see `pgultra partitions convert`"
            )
        else:
            ours.append(each)
    children = read_children(connection, [each.parent for each in ours])
    retired = {
        application: retired_tables(connection, application)
        for application in {each.parent.application for each in ours}
    }
    for each in ours:
        each.children = tuple(c for c in children if c.root_oid == each.parent.oid)
        each.levels = tuple(_levels(connection, each.parent, each.children))
        _look(connection, each, moment, archive_to, retired[each.parent.application])
    return found


def _levels(connection: Connection, parent: Parent, children: Sequence[Child]) -> Iterator[Level]:
    below: dict[int, list[Child]] = {}
    for child in children:
        below.setdefault(child.parent_oid, []).append(child)
    assert parent.oid is not None  # asked before
    todo: list[tuple[int, str, str, Rules]] = [
        (parent.oid, parent.schema, parent.name, parent.rules)
    ]
    while todo:
        oid, schema, name, rules = todo.pop(0)
        own = tuple(below.get(oid, ()))
        yield Level(parent, oid, schema, name, rules, rules.grid(parent.table), own)
        if rules.then is not None:
            todo += [
                (each.oid, each.schema, each.name, rules.then)
                for each in own
                if each.is_partitioned and not each.detaching
            ]


def present(connection: Connection, level: Level, moment: datetime) -> Any:
    """
    The present as a value of the key: of the clock, or the greatest of the numbers there are.
    """
    if level.grid is None:
        return None
    if level.grid.unit != "integer":
        return level.grid.value_at(moment)
    query = f"SELECT pg_catalog.max({level.column}) FROM {level.spelt}"  # noqa: S608  # quoted
    greatest = connection.execute(sql.statement(query)).scalar()
    if greatest is not None:
        return int(greatest)
    return getattr(level.rules, "start", None) or 0


def _look(
    connection: Connection,
    found: Survey,
    moment: datetime,
    archive_to: str | Path | None,
    retired: Sequence[Retired],
) -> None:
    levels = []
    removals: list[Task] = []
    for bare in found.levels:
        level = Level(
            **{
                **{name: getattr(bare, name) for name in bare.__dataclass_fields__},
                "current": present(connection, bare, moment),
            }
        )
        levels.append(level)
        found.tasks += _to_create(connection, found, level, moment)
        removals += _to_remove(found, level, moment, archive_to, retired)
    found.levels = tuple(levels)
    # indexes first: a parent's index becomes valid when its last partition gets one
    found.tasks += index_tasks(connection, found)
    found.tasks += removals


def index_tasks(connection: Connection, found: Survey) -> list[Task]:
    """
    The indexes that partitions lack: those of one level of the tree at a time.
    """
    tasks = []
    for work in indexes_to_build(connection, [level.oid for level in found.levels]):
        action = Action(
            "index",
            found.parent.spelt,
            sql.qualified(work.child_schema, work.name),
            reason=f"for {work.parent_index}",
            statements=tuple(work.statements()),
        )
        tasks.append(Task(action, found.levels[0], index=work))
    return tasks


def _to_create(
    connection: Connection, found: Survey, level: Level, moment: datetime
) -> Iterator[Task]:
    bounds = level.missing(moment)
    names = [child_name(level.name, each, level.rules, level.grid) for each in bounds]
    used = taken(connection, level, names)
    default = level.default
    for bound, wanted in zip(bounds, names, strict=True):
        name = free_name(wanted, used)
        used.add(name)
        fills = default is not None and not isinstance(bound, DefaultBound)
        drains = fills and default is not None and _has_rows(connection, default, level, bound)
        action = Action(
            "drain" if drains else "create",
            found.parent.spelt,
            sql.qualified(level.schema, name),
            bound,
            f"{default.spelt} holds rows of it" if drains and default is not None else "",
            ddl.make_child(level.parent, name, bound, level.rules, of=level.spelt),
        )
        yield Task(action, level, name=name)


def taken(connection: Connection, level: Level, names: list[str]) -> set[str]:
    """
    Which of these names something bears already; a copy that is being drained is the one.
    """
    if not names:
        return set()
    found = {row.relname for row in rows(connection, NAMES, schema=level.schema, names=names)}
    if found and level.default is not None:
        triggers = {trigger_name(name): name for name in found}
        copies = rows(connection, COPIES, table=str(level.default.oid), triggers=list(triggers))
        found -= {triggers[row.tgname] for row in copies}
    return found


def _has_rows(connection: Connection, default: Child, level: Level, bound: Bound) -> bool:
    condition = bound.check(level.column)
    query = f"SELECT EXISTS (SELECT FROM {default.spelt} WHERE {condition})"  # noqa: S608  # quoted
    return bool(connection.execute(sql.statement(query)).scalar_one())


def _to_remove(
    found: Survey,
    level: Level,
    moment: datetime,
    archive_to: str | Path | None,
    retired: Sequence[Retired],
) -> Iterator[Task]:
    rules, table = level.rules, found.parent.spelt
    own = [each for each in retired if each.parent == (level.schema, level.name)]
    unfinished = {each.oid for each in own if each.detaching}
    cutoff = level.cutoff(moment)
    for child in sorted(level.children, key=lambda each: each.name):
        if child.oid in unfinished:
            continue
        if not expired(child.bound, cutoff):
            if child.detaching:
                found.findings.append(
                    f"{child.spelt} is being detached, and not by us: if nobody is at it, run "
                    f"ALTER TABLE {level.spelt} DETACH PARTITION {child.spelt} FINALIZE"
                )
            continue
        assert isinstance(rules, ByRange)  # nothing else expires
        if not marked_tree(child, found.children):
            found.findings.append(
                f"{child.spelt} is older than {rules.retain} and stays, for it bears no mark of "
                "pgultra: partitions.adopt() marks it"
            )
        elif rules.on_expire == "archive" and (archive_to or rules.archive) is None:
            found.findings.append(
                f"{child.spelt} is to be archived and stays, for nothing says where to: give "
                "ByRange(archive='a_schema'), or archive_to= to maintain"
            )
        else:
            statements = _detaching(level, child)
            reason = f"older than {rules.retain}"
            verb: Any = rules.on_expire
            action = Action(verb, table, child.spelt, child.bound, reason, statements)
            yield Task(action, level, child=child)
    for each in own:
        if each.detaching or each.how not in DONE:
            asked = getattr(rules, "on_expire", None)
            if not each.detaching and each.how != asked:
                found.findings.append(
                    f"{each.table} was detached to {each.how} it, and the rules say {asked!r} now: "
                    "it stays"
                )
                continue
            verb = "finish" if each.detaching else "dispose"
            reason = f"an earlier run broke off; to {each.how}"
            yield Task(Action(verb, table, each.table, None, reason), level, retired=each)


def _detaching(level: Level, child: Child) -> tuple[str, ...]:
    how = "" if level.default is not None else " CONCURRENTLY"
    if child.detaching:
        how = " FINALIZE"
    return (f"ALTER TABLE {level.spelt} DETACH PARTITION {child.spelt}{how}",)
