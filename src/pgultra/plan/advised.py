"""
Advice that comes with steps: what is left to do for rows that are there already.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from pgultra.objects import Identity
    from pgultra.plan.compare import Plan, Step
    from pgultra.plan.state import State

__all__ = ["tables_that_are_there", "with_fitting_advice"]

TABLES = """
SELECT n.nspname AS schema, c.relname AS name
FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
JOIN pg_catalog.pg_class AS c ON c.relname = w.name AND c.relnamespace = n.oid
"""


def tables_that_are_there(
    connection: Connection, plan: Plan, default_schema: str
) -> Collection[Identity]:
    """
    Those of the tables that advice is about; the catalog is asked only where a step has any.
    """
    advice = (step.after.advice for step in plan.steps if step.after is not None)
    places = {
        (each.rows_of.schema or default_schema, each.rows_of.name): each.rows_of
        for each in advice
        if each is not None
    }
    if not places:
        return ()
    schemas, names = zip(*places, strict=True)
    found = rows(connection, TABLES, schemas=list(schemas), names=list(names))
    return [places[row.schema, row.name] for row in found]


def with_fitting_advice(plan: Plan, there: Collection[Identity], desired: State) -> Plan:
    """
    The same plan, with advice only where an object is made or changed on a table that exists.

    Args:
        plan: its steps hold objects as they are declared.
        there: the tables that exist.
        desired: the objects as PostgreSQL would print them, to compare with what it has.
    """
    steps = tuple(_fitting(step, there, desired) for step in plan.steps)
    return dataclasses.replace(plan, steps=steps)


def _fitting(step: Step, there: Collection[Identity], desired: State) -> Step:
    if step.after is None or step.after.advice is None:
        return step
    before = step.before
    changed = before is None or not desired.get(before.identity, step.after).same_as(before)
    if changed and step.after.advice.rows_of in there:
        return step
    return dataclasses.replace(step, after=step.after.but(advice=None))
