"""
What the models want otherwise since the table is partitioned.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.objects import Function, Trigger
from pgultra.plan import check
from pgultra.plan.read import home_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa
    from sqlalchemy import Connection

    from pgultra.features.partitions.rules import Rules
    from pgultra.plan.compare import Step

__all__ = ["drifted", "taken_back"]

USED = """
DO $do$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc AS p
        WHERE p.prosrc LIKE 'SELECT $rules${{%' AND pg_catalog.strpos(p.prosrc, {quoted}) > 0
            AND p.pronamespace = {place}::pg_catalog.regnamespace
    ) THEN
        {drop};
    END IF;
END
$do$"""
"""The function that makes partitions goes with the last table whose rules name it."""


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
    plan = check(connection, table.metadata, home=home_of(connection, [table.metadata]))
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


def taken_back(steps: Iterable[Step], schema: str) -> Iterator[str]:
    """
    The statements that take the functions away which these steps made.

    Args:
        steps: what was made and changed.
        schema: where a function is that names none.
    """
    made = [
        dataclasses.replace(step.subject, schema=step.subject.schema or schema)
        for step in steps
        if step.before is None and isinstance(step.subject, Function)
    ]
    for each in sorted(made, key=lambda function: bool(function.arguments)):
        for drop in each.drop():
            if each.arguments:
                quoted = sql.literal(f'"{each.name}"')
                place = sql.literal(sql.identifier(each.schema or schema))
                yield USED.format(quoted=quoted, place=place, drop=drop).strip()
            else:
                yield drop
