"""
Locks to take before a statement, in the order in which the triggers take theirs.

One UPDATE that deletes or restores locks its own row first, and only then its triggers can look
around.  Two such statements can therefore meet head-on, rarely: one restores a row that another has
seen live a moment before, and they wait for each other's parents.  PostgreSQL ends that with 40P01.
Whoever takes these locks first does not get there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra.features.soft_delete.shape import in_order, order, parents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from uuid import UUID

    from pgultra.features.soft_delete.shape import Columns, Edge, TableName

__all__ = ["before_restore"]


def before_restore(
    tables: Collection[TableName], edges: Iterable[Edge], deletions: Sequence[UUID]
) -> Iterator[sa.Select[Any]]:
    """
    Lock what restoring rows of these deletions needs, parents first and by key.

    Execute the statements in their order, in the transaction of the restore; they return nothing
    of use.  It is the order of locks that they give, not the right to restore: the triggers look
    again.

    Args:
        tables: Where rows are to be restored; what is below them is found from the edges.
        edges: All that the application knows, as for `Shape.of`.
        deletions: The deletion ids of these rows.
    """
    known = tuple(edges)
    concerned: dict[TableName, set[Edge]] = {}
    for table in tables:
        for edge in parents(table, known):
            concerned.setdefault(edge.parent, set()).add(edge)
            concerned.setdefault(edge.child, set())
    below = {edge.child for leading in concerned.values() for edge in leading}
    below.update(table for table in tables if table in concerned)
    described = {
        **{edge.parent: (edge.parent_primary_key, edge.parent_columns) for edge in known},
        **{edge.child: (edge.child_primary_key, edge.child_columns) for edge in known},
    }
    for name in (each for component in order(in_order(known)) for each in component):
        if name not in concerned:
            continue
        key, columns = described[name]
        leading = in_order(concerned[name])
        if leading:
            yield _parents(name, key, leading, deletions)
        if name in below:
            yield _rows(name, key, columns, deletions)


def _parents(
    name: TableName, key: tuple[str, ...], edges: Sequence[Edge], deletions: Sequence[UUID]
) -> sa.Select[Any]:
    columns = dict.fromkeys((*key, *(column for edge in edges for column in edge.parent_key)))
    wanted = []
    for edge in edges:
        parent = _table(name, columns).alias("p")
        deletion_id = edge.child_columns.deletion_id
        child = _table(edge.child, dict.fromkeys((*edge.child_key, deletion_id))).alias("c")
        joins = [
            parent.c[upper] == child.c[lower]
            for upper, lower in zip(edge.parent_key, edge.child_key, strict=True)
        ]
        wanted.append(
            sa.select(*(parent.c[column] for column in key))
            .join_from(parent, child, sa.and_(*joins))
            .where(child.c[deletion_id].in_(deletions))
        )
    table = _table(name, columns).alias("locked")
    keys = [table.c[column] for column in key]
    return (
        sa.select(sa.literal_column("1"))
        .select_from(table)
        .where(sa.tuple_(*keys).in_(sa.union_all(*wanted)))
        .order_by(*keys)
        .with_for_update(read=True, key_share=True)
    )


def _rows(
    name: TableName, key: tuple[str, ...], columns: Columns, deletions: Sequence[UUID]
) -> sa.Select[Any]:
    table = _table(name, dict.fromkeys((*key, columns.deletion_id))).alias("c")
    return (
        sa.select(sa.literal_column("1"))
        .select_from(table)
        .where(table.c[columns.deletion_id].in_(deletions))
        .order_by(*(table.c[column] for column in key))
        .with_for_update(key_share=True)
    )


def _table(name: TableName, columns: dict[str, None]) -> sa.TableClause:
    return sa.table(name.name, *(sa.column(column) for column in columns), schema=name.schema)
