"""
The state of each declared table: what it consists of, and what upkeep shall do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError

from pgultra.errors import PgultraError
from pgultra.features.partitions.children import parents_of, read_children
from pgultra.features.partitions.level import Level, present
from pgultra.features.partitions.partman import managed_by_partman
from pgultra.features.partitions.registration import retention_in, retention_of
from pgultra.features.partitions.retirement import retired_tables
from pgultra.features.partitions.tasks import Task, index_tasks, to_clear, to_create, to_remove
from pgultra.objects._catalog import rows
from pgultra.plan.options import refused
from pgultra.plan.read import autocommits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.attempts import Attempts
    from pgultra.features.partitions.children import Child, Parent
    from pgultra.features.partitions.retirement import Retired
    from pgultra.features.partitions.rules import Rules

__all__ = [
    "FAILURES",
    "Survey",
    "declared",
    "metadata_of",
    "moment_of",
    "said",
    "seen",
    "survey",
    "table_of",
]

FAILURES = (DBAPIError, PgultraError, ArithmeticError, LookupError, TypeError, ValueError)
"""What can go wrong with one table, and shall not keep the others from being seen to."""


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
        is_ours: whether it can be looked at: it is there, and as its model says.
    """

    parent: Parent
    levels: tuple[Level, ...] = ()
    children: tuple[Child, ...] = ()
    tasks: list[Task] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    is_ours: bool = False


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


def said(error: BaseException) -> str:
    """
    What the database, or pgultra, said.
    """
    return str(getattr(error, "orig", None) or error).strip()


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

    One that cannot be looked at has that as a finding, and the others are looked at.

    Args:
        connection: in a transaction.
        metadata: whose tables.
        moment: the present.
        archive_to: where to archive, if the rules do not say it.
    """
    found = declared(connection, metadata)
    for place, each in enumerate(found):
        if not each.is_ours:
            continue
        # under AUTOCOMMIT there is no transaction that an error could end
        point = None if autocommits(connection) else connection.begin_nested()
        try:
            found[place] = _surveyed(connection, each, moment, archive_to)
        except FAILURES as error:
            if point is not None:
                point.rollback()
            each.findings.append(f"{each.parent.spelt} cannot be looked at: {said(error)}")
        else:
            if point is not None:
                point.commit()
    return found


def declared(connection: Connection, metadata: MetaData | Iterable[MetaData]) -> list[Survey]:
    """
    Every declared table, and whether it is as its model says; only the catalog is asked.
    """
    parents = parents_of(connection, metadata)
    theirs = managed_by_partman(connection) if parents else frozenset()
    found = []
    for parent in parents:
        each = Survey(parent)
        found.append(each)
        key = (parent.rules.key_column(parent.table).name,)
        if parent.oid is None:
            each.findings.append(f"{parent.spelt} is not there: migrate, or call create_all")
        elif (parent.schema, parent.name) in theirs:
            each.findings.append(
                f"{parent.spelt} is managed by pg_partman and left alone; "
                "see the how-to on moving over"
            )
        elif (parent.strategy, parent.key_columns) != (parent.rules.strategy, key):
            columns = ", ".join(parent.key_columns)
            state = (
                f"partitioned by {parent.strategy} ({columns})"
                if parent.strategy
                else "a plain table"
            )
            each.findings.append(
                f"{parent.spelt} is {state}, not partitioned by {parent.rules.strategy} "
                f"({key[0]}) as its model says: see `pgultra partitions convert`"
            )
        else:
            each.is_ours = True
    return found


def _surveyed(
    connection: Connection,
    found: Survey,
    moment: datetime,
    archive_to: str | Path | None,
    *,
    indexes: bool = True,
) -> Survey:
    """
    Look at one table.

    Args:
        connection: in a transaction; it waits for who has locked the table or a partition.
        found: from `declared`.
        moment: the present.
        archive_to: where to archive, if the rules do not say it.
        indexes: whether to look for indexes that partitions lack.
    """
    parent = found.parent
    each = Survey(parent, is_ours=True)
    each.children = read_children(connection, [parent])
    each.levels = tuple(_levels(connection, parent, each.children))
    retired = retired_tables(connection, parent.application)
    removals = _look(connection, each, moment, archive_to, retired)
    theirs = retention_in(parent.registration)
    if removals and theirs not in (None, retention_of(parent.table, parent.rules)):
        removals = []
        each.findings.append(
            f"{parent.spelt} keeps rows by other rules in the database than in this model, so "
            "nothing is taken away: migrate, or let hosts with the old model end"
        )
    if indexes:  # before removals: a parent's is valid when its last partition gets one
        each.tasks += index_tasks(connection, each)
    each.tasks += removals
    return each


def seen(
    hand: Attempts,
    found: Survey,
    moment: datetime,
    archive_to: str | Path | None,
    *,
    indexes: bool = True,
) -> Survey:
    """
    Look at one table, in a transaction of its own: who waits here holds nothing of another one.
    """

    def once() -> Survey:
        with hand.transaction() as connection:
            return _surveyed(connection, found, moment, archive_to, indexes=indexes)

    return hand.until_it_works(once)


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
                if not each.detaching
                and each.divided == (rules.then.strategy, rules.then.key_column(parent.table).name)
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
        found.tasks += to_clear(connection, found, level, moment)
        found.tasks += to_create(connection, found, level, moment)
        found.findings += [
            f"{level.spelt} shall have a partition for values {bound}, and {child.spelt} has some "
            "of them: declare the groups as they are, or detach that one"
            for bound, child in level.taken_in_part()
            if level.oid == found.parent.oid
        ]
        removals += to_remove(found, level, moment, archive_to, retired)
    # PostgreSQL detaches CONCURRENTLY one partition of a table at a time: the pending one first
    removals.sort(key=lambda task: task.action.verb != "finish")
    found.levels = tuple(levels)
    return removals
