"""
What the models want otherwise since the table is partitioned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.objects import Trigger
from pgultra.plan import check

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.rules import Rules
    from pgultra.plan.compare import Step

__all__ = ["drifted"]


def drifted(
    connection: Connection, table: sa.Table, rules: Rules, home: str, *, insist: bool = True
) -> tuple[Step, ...]:
    """
    What must be made or changed: functions of the room, triggers, marks.

    Such as the function that makes partitions, and triggers that are told the primary key.

    Args:
        connection: with the caller's search_path.
        table: what was converted.
        rules: how it is partitioned.
        home: the connection's default schema.
        insist: refuse while something stands in the way, as the plain table does before.
    """
    plan = check(connection, table.metadata)
    if insist:
        plan.insist()
    wanted = {each.identity for each in rules.objects(table)}
    schemas = {table.schema, None if table.schema == home else table.schema}
    return tuple(
        step
        for step in plan.steps
        if (step.identity in wanted and step.before is None)
        or (
            step.identity.table == table.name
            and step.identity.schema in schemas
            and (step.only_marks or isinstance(step.subject, Trigger))
        )
    )
