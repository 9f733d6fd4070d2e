"""
The state of each declared table: what it consists of, and what upkeep shall do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import MetaData

from pgultra.features.partitions.children import parents_of, read_children
from pgultra.features.partitions.level import Level, present
from pgultra.features.partitions.partman import managed_by_partman
from pgultra.features.partitions.retirement import retired_tables
from pgultra.features.partitions.tasks import Task, index_tasks, to_clear, to_create, to_remove
from pgultra.objects._catalog import rows
from pgultra.plan.options import refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.retirement import Retired
    from pgultra.features.partitions.rules import Rules

__all__ = ["Survey", "metadata_of", "moment_of", "survey", "surveyed_again", "table_of"]


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
    found = [
        each if isinstance(each, MetaData) else getattr(each, "metadata", None) for each in several
    ]
    if not found or not all(isinstance(each, MetaData) for each in found):
        takes = "a MetaData, a declarative base, a mapped class, or a list of them"
        raise refused("partitions", "metadata", given, takes)
    return [each for each in found if each is not None]


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
        if not isinstance(now, datetime):
            raise refused("partitions", "now", now, "a datetime with a time zone")
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
) -> list[Survey]:
    """
    Look at every declared table, and tell what is to be done.

    Args:
        connection: in a transaction.
        metadata: whose tables.
        moment: the present.
        archive_to: where to archive, if the rules do not say it.
    """
    parents = parents_of(connection, metadata)
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
    _read(connection, ours, moment, archive_to)
    return found


def surveyed_again(
    connection: Connection, found: Survey, moment: datetime, archive_to: str | Path | None
) -> Survey:
    """
    Look once more at a table that there is something to do for, now that nobody else is at it.

    What it is and whose it is was asked a moment ago; indexes are asked for if any was lacking.
    """
    again = Survey(found.parent)
    indexes = any(task.index is not None for task in found.tasks)
    _read(connection, [again], moment, archive_to, indexes=indexes)
    return again


def _read(
    connection: Connection,
    ours: Sequence[Survey],
    moment: datetime,
    archive_to: str | Path | None,
    *,
    indexes: bool = True,
) -> None:
    children = read_children(connection, [each.parent for each in ours])
    retired = {
        application: retired_tables(connection, application)
        for application in {each.parent.application for each in ours}
    }
    for each in ours:
        each.children = tuple(c for c in children if c.root_oid == each.parent.oid)
        each.levels = tuple(_levels(connection, each.parent, each.children))
        removals = _look(connection, each, moment, archive_to, retired[each.parent.application])
        if indexes:  # before removals: a parent's is valid when its last partition gets one
            each.tasks += index_tasks(connection, each)
        each.tasks += removals


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


def _look(
    connection: Connection,
    found: Survey,
    moment: datetime,
    archive_to: str | Path | None,
    retired: Sequence[Retired],
) -> list[Task]:
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
        found.tasks += to_clear(connection, found, level)
        found.tasks += to_create(connection, found, level, moment)
        removals += to_remove(found, level, moment, archive_to, retired)
    # PostgreSQL detaches CONCURRENTLY one partition of a table at a time: the pending one first
    removals.sort(key=lambda task: task.action.verb != "finish")
    found.levels = tuple(levels)
    return removals
