"""
What the trigger functions are told of a table: one JSON text each.

The files in `sql/` say at their top what they read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgultra.features.soft_delete.shape import Columns, Edge, Shape, TableName

__all__ = ["of_cascade", "of_restore", "of_stamp", "of_under"]


def of_stamp(shape: Shape) -> str:
    """
    Name the key, and say what is to be locked and logged.
    """
    return _text(
        {
            "table": str(shape.table),
            "key": shape.primary_key,
            "cascade": bool(shape.below),
            "restore": bool(shape.parents),
        }
    )


def of_under(shape: Shape) -> str:
    """
    Name the parents that a live row must find live.
    """
    above = [
        {**_table(edge.parent), "deleted_at": edge.parent_columns.deleted_at, "on": _on(edge)}
        for edge in shape.above
    ]
    return _text(
        {"deleted_at": shape.columns.deleted_at, "above": above, **_home(shape, shape.above)}
    )


def of_cascade(shape: Shape) -> str:
    """
    Describe the way down.
    """
    edges = [edge for group in shape.below for edge in group.edges]
    tables = _tables(shape, edges)
    return _text(
        {
            "tables": list(tables.values()),
            "below": _below(shape, list(tables)),
            **_home(shape, edges),
        }
    )


def of_restore(shape: Shape) -> str:
    """
    Describe the way down, and the parents on both sides of it.
    """
    tables = _tables(shape, shape.parents)
    place = list(tables)
    below = {edge.child for group in shape.below for edge in group.edges}
    locks = [
        {
            "table": place.index(name),
            "below": name in below,
            "edges": [
                {"child": place.index(edge.child), "on": _on(edge)}
                for edge in shape.parents
                if edge.parent == name
            ],
        }
        for name in shape.locks
    ]
    return _text(
        {
            "tables": list(tables.values()),
            "below": _below(shape, place),
            "locks": locks,
            **_home(shape, shape.parents),
        }
    )


def _text(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False)


def _below(shape: Shape, place: list[TableName]) -> list[dict[str, Any]]:
    return [
        {
            "cyclic": group.cyclic,
            "tables": [
                {
                    "table": place.index(child),
                    "edges": [
                        {"parent": place.index(edge.parent), "on": _on(edge)}
                        for edge in group.edges
                        if edge.child == child
                    ],
                }
                for child in sorted({edge.child for edge in group.edges})
            ],
        }
        for group in shape.below
    ]


def _tables(shape: Shape, edges: Iterable[Edge]) -> dict[TableName, dict[str, Any]]:
    """
    Describe the table itself and those that the edges join, each once.
    """
    tables = {
        shape.table: {**_table(shape.table), "key": shape.primary_key, **_named(shape.columns)}
    }
    for edge in edges:
        tables.setdefault(
            edge.parent,
            {**_table(edge.parent), "key": edge.parent_primary_key, **_named(edge.parent_columns)},
        )
        tables.setdefault(
            edge.child,
            {**_table(edge.child), "key": edge.child_primary_key, **_named(edge.child_columns)},
        )
    return tables


def _home(shape: Shape, edges: Iterable[Edge]) -> dict[str, Any]:
    """
    Say how to find the default schema where the trigger's own does not tell: by a foreign key.
    """
    if shape.table.schema is None:
        return {}
    for edge in edges:
        for known, other, columns in (
            (edge.parent, edge.child, edge.child_columns),
            (edge.child, edge.parent, edge.parent_columns),
        ):
            if known.schema is not None and other.schema is None:
                found = {"to": other.name, "deleted_at": columns.deleted_at}
                return {"home": {"from": [known.schema, known.name], **found}}
    return {}


def _table(name: TableName) -> dict[str, Any]:
    return (
        {"name": name.name} if name.schema is None else {"schema": name.schema, "name": name.name}
    )


def _named(columns: Columns) -> dict[str, str]:
    named = {
        "deleted_at": columns.deleted_at,
        "deleted_by": columns.deleted_by,
        "deletion_id": columns.deletion_id,
    }
    return named if columns.flag is None else {**named, "flag": columns.flag}


def _on(edge: Edge) -> list[tuple[str, str]]:
    return list(zip(edge.parent_key, edge.child_key, strict=True))
