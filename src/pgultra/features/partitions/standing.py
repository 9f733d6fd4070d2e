"""
How each partitioned table stands: how long it will last, what is missing, how large it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.features.partitions.bounds import RangeBound
from pgultra.features.partitions.planning import gaps, next_gap
from pgultra.features.partitions.runs import last_runs
from pgultra.features.partitions.survey import metadata_of, moment_of, survey
from pgultra.objects._catalog import rows
from pgultra.plan.read import own_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from pgultra.features.partitions.bounds import Bound
    from pgultra.features.partitions.level import Level
    from pgultra.features.partitions.survey import Survey

__all__ = ["PartitionStatus", "TableStatus", "status"]

SIZES = """
SELECT c.oid::bigint AS oid,
    CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint END AS rows,
    pg_catalog.pg_total_relation_size(c.oid) AS bytes
FROM pg_catalog.pg_class AS c
WHERE c.oid::text = ANY (:oids)
"""


@dataclass(frozen=True)
class PartitionStatus:
    """
    One partition.

    Attributes:
        name: with its schema.
        bound: what it takes.
        rows: about how many, by the last ANALYZE or VACUUM; None if there was none.
        bytes: with its indexes and long values; of a partition with partitions, of all.
        marked: whether it bears our mark; only such are ever removed.
        detaching: whether detaching it was begun and not finished.
    """

    name: str
    bound: Bound
    rows: int | None
    bytes: int
    marked: bool
    detaching: bool


@dataclass(frozen=True)
class TableStatus:
    """
    One partitioned table.

    Attributes:
        table: with its schema.
        strategy: ``range``, ``list`` or ``hash``; None if it is not partitioned.
        partitions: those right below it, in the order of their bounds.
        edge: where the partitions from the present on end without a gap: rows beyond it have
            no home. None for lists and hashes, and where there is no end.
        runway: how far that is from now: a timedelta, or so many numbers.
        gaps: what lies between partitions and in none.
        default_rows: rows of the default partitions, counted; None without one.
        rows: about how many there are in all.
        bytes: of all.
        last_run: when ``maintain`` was here last; None if never.
        problems: what it could not do then.
        pending: what it would do now.
        findings: what a person should look at.
    """

    table: str
    strategy: str | None
    partitions: tuple[PartitionStatus, ...] = ()
    edge: Any = None
    runway: timedelta | int | None = None
    gaps: tuple[RangeBound, ...] = ()
    default_rows: int | None = None
    rows: int = 0
    bytes: int = 0
    last_run: datetime | None = None
    problems: tuple[str, ...] = ()
    pending: int = 0
    findings: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """
        Whether nothing is missing, nothing failed, and no row is in a default partition.

        The present has a partition, that is; how far they reach beyond it is for an alarm on
        ``runway``.
        """
        left = self.runway
        if left is not None and (left if isinstance(left, int) else left.total_seconds()) <= 0:
            return False
        return not (self.gaps or self.default_rows or self.problems or self.findings)


@on_connection
def status(
    connection: Connection,
    metadata: Any,  # a MetaData, a declarative base, or several of them
    *,
    now: datetime | None = None,
) -> tuple[TableStatus, ...]:
    """
    Tell how each declared table stands.

    Rows of default partitions are counted, all others estimated.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        metadata: a MetaData, a declarative base, or a list of them.
        now: the present, if not by the server's clock.

    Raises:
        DeclarationError: ``metadata`` or ``now`` is something else.
        ValueError: ``now`` has no time zone.

    Example:
        ``[each.table for each in partitions.status(connection, Base) if not each.healthy]``
    """
    with own_transaction(connection):
        moment = moment_of(connection, now)
        found = survey(connection, metadata_of(metadata), moment)
        runs = last_runs(connection, [each.parent for each in found])
        oids = [str(child.oid) for each in found for child in each.children]
        sizes = {row.oid: row for row in rows(connection, SIZES, oids=oids)} if oids else {}
        return tuple(_of(connection, each, moment, runs, sizes) for each in found)


def _of(
    connection: Connection,
    found: Survey,
    moment: datetime,
    runs: dict[tuple[str, str], tuple[datetime, Sequence[str]]],
    sizes: dict[int, Any],
) -> TableStatus:
    parent = found.parent
    if not found.levels:
        return TableStatus(parent.spelt, parent.strategy, findings=tuple(found.findings))
    top = found.levels[0]
    total: dict[int, list[int]] = {}  # of each partition right below the top
    above = {child.oid: child.parent_oid for child in found.children}
    for child in found.children:
        size = sizes.get(child.oid)
        if size is None or child.is_partitioned:
            continue
        root = child.oid
        while above[root] != top.oid:
            root = above[root]
        count = total.setdefault(root, [0, 0, 0])
        count[0] += size.rows or 0
        count[1] += size.bytes
        count[2] += size.rows is not None
    partitions = []
    for child in sorted(top.children, key=_order):
        number, size, known = total.get(child.oid, [0, 0, 0])
        partitions.append(
            PartitionStatus(
                child.spelt,
                child.bound,
                number if known else None,
                size,
                child.marked,
                child.detaching,
            )
        )
    ran_at, problems = runs.get((parent.schema, parent.name), (None, ()))
    edge = next_gap(top.bounds, top.current) if top.grid is not None else None
    return TableStatus(
        parent.spelt,
        parent.strategy,
        tuple(partitions),
        edge,
        _runway(top, edge, moment),
        tuple(gap for level in found.levels for gap in gaps(level.bounds)),
        _in_default(connection, found),
        sum(each.rows or 0 for each in partitions),
        sum(each.bytes for each in partitions),
        ran_at,
        tuple(problems),
        len(found.tasks),
        tuple(found.findings),
    )


def _order(child: Any) -> tuple[Any, ...]:
    bound = child.bound
    if isinstance(bound, RangeBound):
        return (0, bound.lower is not None, bound.lower if bound.lower is not None else 0, "")
    return (1, False, 0, child.name)


def _runway(top: Level, edge: Any, moment: datetime) -> Any:
    if top.grid is None or edge is None:
        return None
    if top.grid.unit == "integer":
        return edge - top.current
    return top.grid.moment_of(edge) - moment


def _in_default(connection: Connection, found: Survey) -> int | None:
    defaults = [level.default for level in found.levels if level.default is not None]
    if not defaults:
        return None
    number = 0
    for default in defaults:
        query = f"SELECT pg_catalog.count(*) FROM {default.spelt}"  # noqa: S608  # quoted
        number += int(connection.execute(sql.statement(query)).scalar_one())
    return number
