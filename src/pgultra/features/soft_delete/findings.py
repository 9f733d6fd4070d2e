"""
Rows that contradict themselves or each other: from before the triggers, or past them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table, inspect, or_, select

from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError
from pgultra.features.soft_delete.edges import edges_of, name_of, tables_around
from pgultra.features.soft_delete.indexes import rules_of
from pgultra.features.soft_delete.options import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from pgultra.features.soft_delete.shape import Edge

__all__ = ["Finding", "audit"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One row that is not as it should be.

    Attributes:
        table: its table, with the schema if it has one declared.
        key: its primary key.
        problem: what is wrong, in words.

    >>> Finding("comment", (7,), "live below a deleted row of article").key
    (7,)
    """

    table: str
    key: tuple[Any, ...]
    problem: str


@on_connection
def audit(connection: Connection, target: Any, *, limit: int | None = None) -> list[Finding]:
    """
    Find rows whose flag and timestamp disagree, and live rows below deleted ones.

    Also rows that are deleted without a deletion id (they were deleted before there were
    any, and are restored one by one), and live rows that say who deleted them. With its
    triggers in place a table gets none of these; a live row below a deleted one is
    possible as long as the option ``refuse_orphans`` is off.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        target: a MetaData or declarative base for all its tables; a class or Table for one.
            # any of these: Any
        limit: at most so many findings of one kind in one table.

    Raises:
        DeclarationError: the target is not soft-deletable.

    Example:
        ``assert soft_delete.audit(connection, Base) == []``
    """
    tables = list(_tables(target))
    findings: list[Finding] = []
    for table in tables:
        for problem, key, condition in _contradictions(table):
            found = connection.execute(select(*key).where(condition).order_by(*key).limit(limit))
            findings += [Finding(table.fullname, tuple(row), problem) for row in found]
        for edge in edges_of(table.metadata):
            if edge.child == name_of(table):
                findings += _orphans(connection, table, edge, limit)
    return findings


def _tables(target: Any) -> Iterator[Table]:
    metadata = target if isinstance(target, MetaData) else None
    if metadata is None and not isinstance(target, Table):
        mapper = getattr(inspect(target, raiseerr=False), "mapper", None)
        if mapper is not None:
            while mapper.inherits is not None and not mapper.concrete:
                mapper = mapper.inherits
            target = mapper.local_table
        else:
            metadata = getattr(target, "metadata", None)
    if isinstance(metadata, MetaData):
        yield from (table for table in metadata.sorted_tables if rules_of(table) is not None)
    elif isinstance(target, Table) and rules_of(target) is not None:
        yield target
    else:
        raise DeclarationError(f"audit of {target!r}: it is not soft-deletable")


def _contradictions(table: Table) -> Iterator[tuple[str, list[Any], Any]]:
    rules = rules_of(table)
    assert rules is not None
    columns = columns_of(table, rules)
    at, by, deletion = (columns[name] for name in ("deleted_at", "deleted_by", "deletion_id"))
    key = list(table.primary_key)
    flag = columns.get("flag")
    if flag is not None:
        yield (
            f"{flag.name} and {at.name} disagree",
            key,
            flag.is_distinct_from(at.is_not(None)),
        )
    yield f"deleted without a {deletion.name}", key, at.is_not(None) & deletion.is_(None)
    yield (
        f"live, but has a {by.name} or {deletion.name}",
        key,
        at.is_(None) & or_(by.is_not(None), deletion.is_not(None)),
    )


def _orphans(
    connection: Connection, table: Table, edge: Edge, limit: int | None
) -> Iterator[Finding]:
    other = tables_around(table)[edge.parent]
    child: Any = table.alias()
    parent: Any = other.alias()

    def column(source: Any, origin: Table, name: str) -> Any:
        return source.c[next(each.key for each in origin.columns if each.name == name)]

    key = [child.c[each.key] for each in table.primary_key]
    joins = [
        column(parent, other, upper) == column(child, table, lower)
        for upper, lower in zip(edge.parent_key, edge.child_key, strict=True)
    ]
    statement = (
        select(*key)
        .where(
            *joins,
            column(parent, other, edge.parent_columns.deleted_at).is_not(None),
            column(child, table, edge.child_columns.deleted_at).is_(None),
        )
        .order_by(*key)
        .limit(limit)
    )
    for row in connection.execute(statement):
        yield Finding(table.fullname, tuple(row), f"live below a deleted row of {other.fullname}")
