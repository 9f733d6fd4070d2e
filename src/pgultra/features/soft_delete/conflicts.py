"""
What stands in the way of a restore, found before anything is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, select
from sqlalchemy.sql import visitors
from sqlalchemy.sql.util import ClauseAdapter

from pgultra.features.soft_delete.edges import links
from pgultra.features.soft_delete.model import deleted_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Index
    from sqlalchemy.orm import Mapper

__all__ = ["of"]


def of(
    connection: Connection, mapper: Mapper[Any], deletion: UUID, parents: Sequence[Mapper[Any]]
) -> Iterator[str]:
    """
    One sentence for each row of a deletion that cannot come back.

    Args:
        connection: to look with.
        mapper: the hierarchy whose rows are looked at.
        deletion: the deletion that they went with.
        parents: the hierarchies that the rows may be below.
    """
    yield from _dead_parents(connection, mapper, deletion, parents)
    table: Any = mapper.local_table
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        if index.unique and _on_live(index, mapper):
            yield from _taken(connection, mapper, deletion, index)


def _dead_parents(
    connection: Connection, mapper: Mapper[Any], deletion: UUID, parents: Sequence[Mapper[Any]]
) -> Iterator[str]:
    child: Any = mapper.local_table.alias()
    mine = child.c[deleted_column(mapper, "deletion_id").key]
    for parent_mapper in parents:
        for target, here, there in links(parent_mapper):
            if target is not mapper:
                continue
            parent: Any = parent_mapper.local_table.alias()
            theirs = parent.c[deleted_column(parent_mapper, "deletion_id").key]
            at = parent.c[deleted_column(parent_mapper).key]
            keys = [child.c[key.key] for key in mapper.primary_key]
            upper = [parent.c[key.key] for key in parent_mapper.primary_key]
            statement = (
                select(*keys, *upper, theirs)
                .where(
                    mine == deletion,
                    at.is_not(None),
                    theirs.is_distinct_from(deletion),
                    *(
                        parent.c[above.key] == child.c[below.key]
                        for above, below in zip(here, there, strict=True)
                    ),
                )
                .order_by(*keys)
            )
            for row in connection.execute(statement):
                yield (
                    f"{_named(mapper, row[: len(keys)])} is below "
                    f"{_named(parent_mapper, row[len(keys) : -1])}, which was deleted by itself "
                    f"(deletion {row[-1]}): restore that first"
                )


def _taken(
    connection: Connection, mapper: Mapper[Any], deletion: UUID, index: Index
) -> Iterator[str]:
    table: Any = mapper.local_table
    dead, live = table.alias(), table.alias()
    expressions: list[Any] = list(index.expressions)
    before = [ClauseAdapter(dead).traverse(each) for each in expressions]
    now = [ClauseAdapter(live).traverse(each) for each in expressions]
    nulls_equal = index.dialect_options["postgresql"].get("nulls_not_distinct")
    same: list[Any] = [
        one.is_not_distinct_from(other) if nulls_equal else one == other
        for one, other in zip(before, now, strict=True)
    ]
    keys = [dead.c[key.key] for key in mapper.primary_key]
    others = [live.c[key.key] for key in mapper.primary_key]
    statement = (
        select(*keys, *others)
        .join_from(dead, live, and_(*same))
        .where(
            dead.c[deleted_column(mapper, "deletion_id").key] == deletion,
            live.c[deleted_column(mapper).key].is_(None),
        )
        .order_by(*keys)
    )
    for row in connection.execute(statement):
        yield (
            f"{_named(mapper, row[: len(keys)])} cannot come back: "
            f"{_named(mapper, row[len(keys) :])} is live and has the same value under the unique "
            f"index {index.name}; change or delete one of the two"
        )


def _on_live(index: Index, mapper: Mapper[Any]) -> bool:
    where = index.dialect_options["postgresql"]["where"]
    columns = set(mapper.local_table.c)
    expressions: list[Any] = list(index.expressions)
    if not all(columns.intersection(visitors.iterate(each)) for each in expressions):
        return False  # text: the database will tell
    return where is not None and str(where) == str(deleted_column(mapper).is_(None))


def _named(mapper: Mapper[Any], key: Sequence[Any]) -> str:
    values = ", ".join(
        f"{column.name}={value!r}" for column, value in zip(mapper.primary_key, key, strict=True)
    )
    return f"{mapper.class_.__name__} ({values})"
