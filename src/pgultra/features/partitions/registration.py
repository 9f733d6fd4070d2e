"""
What the database is told of a table's partitions: rules as JSON, read by the SQL functions.

The text is the registration: when rules change, it changes, and every door sees that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.features.partitions import keys
from pgultra.features.partitions.calendar import step_of
from pgultra.features.partitions.names import label_of, pattern_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pgultra.features.partitions.calendar import Grid
    from pgultra.features.partitions.rules import Rules

__all__ = ["described", "registered", "registration_name", "retention_in", "retention_of"]


def registered(table: sa.Table, rules: Rules, application: str, premake: str) -> str:
    """
    The rules of a table, all levels, as one line of JSON.
    """
    top = {"app": application, "table": table.name, "premake": premake}
    text = json.dumps({**top, **described(table, rules)}, ensure_ascii=False, sort_keys=True)
    return text.replace("$", "\\u0024").replace("\t", "\\t")  # safe between dollar signs


def registration_name(table: sa.Table) -> str:
    """
    The name of the function that holds a table's rules.
    """
    return sql.short_name(table.name, "partitions")


def retention_of(table: sa.Table, rules: Rules) -> list[Any]:
    """
    What decides which partitions are too old, level by level.
    """
    return _retention(json.loads(json.dumps(described(table, rules))))


def retention_in(body: str | None) -> list[Any] | None:
    """
    The same out of the body of the function in the database; None if it tells no rules.
    """
    pieces = (body or "").split("$rules$")
    try:
        return _retention(json.loads(pieces[1]))
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _retention(rules: dict[str, Any]) -> list[Any]:
    grid = rules.get("grid") or {}
    own = [rules["column"], *(grid.get(name) for name in ("kind", "zone", "retain"))]
    return [own, *(_retention(rules["then"]) if rules.get("then") else [])]


def described(table: sa.Table, rules: Rules) -> dict[str, Any]:
    """
    One level of the rules, and what lies below it.
    """
    column = rules.key_column(table)
    grid = rules.grid(table)
    quoted = sql.identifier(column.name)
    labels: dict[str, Any] = getattr(rules, "group_bounds", lambda _: {})(table)
    names = [*labels, *([] if not getattr(rules, "default", False) else ["default"])]
    bounds = rules.bounds_for(table, "")
    parts = [
        [
            names[at] if labels else label_of(bound, rules, grid),
            bound.render(),
            bound.check(quoted),
        ]
        for at, bound in enumerate(bounds)
    ]
    found: dict[str, Any] = {
        "by": rules.strategy,
        "column": column.name,
        "clause": keys.clause_of(rules.strategy, [column.name]),
    }
    if parts:
        found["parts"] = parts
    if grid is not None:
        found["grid"] = _grid(grid, rules)
    if rules.storage:
        found["storage"] = ", ".join(
            f"{sql.identifier(str(name))} = {sql.literal(str(value))}"
            for name, value in sorted(rules.storage.items())
        )
    if rules.then is not None:
        found["then"] = described(table, rules.then)
    return found


def _grid(grid: Grid, rules: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": grid.kind,
        "count": grid.count,
        "unit": grid.unit,
        "zone": grid.time_zone,
        "premake": rules.premake,
    }
    pattern = pattern_of(grid)
    if pattern is not None:
        found["label"] = pattern
    if rules.retain is not None:
        found["retain"] = step_of(rules.retain)
    if rules.start is not None:
        found["start"] = grid.place(rules.start)
    return found
