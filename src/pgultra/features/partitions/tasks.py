"""
What upkeep shall do to one table: partitions to make, indexes to build, partitions to take away.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions import ddl
from pgultra.features.partitions.bounds import DefaultBound, parse_bound
from pgultra.features.partitions.child_indexes import indexes_to_build
from pgultra.features.partitions.draining import trigger_name
from pgultra.features.partitions.growth import SHIELD
from pgultra.features.partitions.names import child_name, free_name
from pgultra.features.partitions.planning import Action, expired, marked_tree
from pgultra.features.partitions.retirement import DONE, forgetting, unfollowed
from pgultra.features.partitions.rules import ByRange
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.child_indexes import IndexWork
    from pgultra.features.partitions.children import Child
    from pgultra.features.partitions.level import Level
    from pgultra.features.partitions.retirement import Retired
    from pgultra.features.partitions.survey import Survey

__all__ = ["Task", "index_tasks", "taken", "to_clear", "to_create", "to_remove"]

TYPES = {
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "uuid7": "uuid",
}
"""What PostgreSQL calls the types of keys, where that is another name."""
NAMES = """
SELECT c.relname FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = ANY (:names)
"""
COPIES = """
SELECT t.tgname FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid::text = :table AND t.tgname = ANY (:triggers)
"""
SHIELDS = """
SELECT k.conname FROM pg_catalog.pg_constraint AS k
WHERE k.conrelid::text = :table AND k.contype = 'c' AND pg_catalog.starts_with(k.conname, :shield)
ORDER BY k.conname
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


def to_clear(
    connection: Connection, found: Survey, level: Level, moment: datetime
) -> Iterator[Task]:
    """
    What runs that were killed have left, and what is true no more.

    CHECKs on a default partition refuse rows of the partitions that were about to be made.
    What should become of a partition is in its comment; while it is attached, and not too old,
    nothing shall, even if a person detaches it later on.
    """
    cutoff = level.cutoff(moment)
    for child in level.children:
        stays = not child.detaching and not expired(child.bound, cutoff)
        if stays and child.marked and not child.foreign:
            forget = forgetting(child.spelt, child.comment)
            if forget is not None:
                reason = "the rules keep it: what should become of it is forgotten"
                table = found.parent.spelt
                yield Task(Action("clear", table, child.spelt, None, reason, (forget,)), level)
    default = level.default
    if default is None:
        return
    drops = tuple(
        f"ALTER TABLE {default.spelt} DROP CONSTRAINT IF EXISTS {sql.identifier(row.conname)}"
        for row in rows(connection, SHIELDS, table=str(default.oid), shield=SHIELD)
    )
    if drops:
        reason = "CHECKs of a run that broke off"
        action = Action("clear", found.parent.spelt, default.spelt, None, reason, drops)
        yield Task(action, level)


def to_create(
    connection: Connection, found: Survey, level: Level, moment: datetime
) -> Iterator[Task]:
    """
    The partitions that one level lacks.
    """
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


def to_remove(
    found: Survey,
    level: Level,
    moment: datetime,
    archive_to: str | Path | None,
    retired: Sequence[Retired],
) -> Iterator[Task]:
    """
    The partitions of one level that are older than its rules keep, and what broke off earlier.
    """
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
            if not _too_old(each, level, cutoff):
                if each.detaching:  # half of it is done, and cannot be taken back
                    reason = "an earlier run broke off; the rules keep it now"
                    kept = dataclasses.replace(each, how="detach")
                    yield Task(
                        Action("finish", table, each.table, None, reason), level, retired=kept
                    )
                found.findings.append(
                    f"{each.table} was to be taken away ({each.how}) by older rules, and the rules "
                    f"keep its rows now: it stays; attach it again with ALTER TABLE {level.spelt} "
                    f"ATTACH PARTITION {each.table} {each.bound}, or drop it by hand"
                )
                continue
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


def _too_old(retired: Retired, level: Level, cutoff: Any) -> bool:
    """
    Whether the present rules, too, keep nothing of what was a partition.
    """
    if level.grid is None:
        return False
    try:
        bound = parse_bound(retired.bound, TYPES.get(level.grid.kind, level.grid.kind))
    except ValueError:
        return False
    return expired(bound, cutoff)


def _detaching(level: Level, child: Child) -> tuple[str, ...]:
    if child.detaching:
        return (f"ALTER TABLE {level.spelt} DETACH PARTITION {child.spelt} FINALIZE",)
    how = "" if level.default is not None else " CONCURRENTLY"
    first = unfollowed(level.parent, child.spelt)
    return (*first.values(), f"ALTER TABLE {level.spelt} DETACH PARTITION {child.spelt}{how}")
