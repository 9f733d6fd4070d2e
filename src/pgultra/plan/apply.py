"""
A Plan to a database.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import MissingExtension
from pgultra.objects import DatabaseObject, Extension, Function, Index, Schema
from pgultra.objects._catalog import rows
from pgultra.plan.order import acts_of, ordered
from pgultra.plan.read import autocommits

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.plan.compare import Plan, Step

__all__ = ["apply", "sorted_plan"]

FUNCTION_IN_USE = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass AND d.refobjid = p.oid
        AND d.deptype IN ('n', 'a')) AS used
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE (n.nspname = :schema
        OR (CAST(:schema AS text) IS NULL AND pg_catalog.pg_function_is_visible(p.oid)))
    AND p.proname = :name
    AND pg_catalog.pg_get_function_identity_arguments(p.oid) = :arguments
"""
SCHEMA_IN_USE = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid
        AND d.deptype IN ('n', 'a')) AS used
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = :name
"""


def sorted_plan(plan: Plan, default_schema: str | None = None) -> Plan:
    """
    The same plan in an order that runs; replacements that cannot be in place as two steps.
    """
    acts = ordered([act for step in plan.steps for act in acts_of(step, default_schema)])
    return dataclasses.replace(plan, steps=tuple(act.item for act in acts))


def apply(plan: Plan, connection: Connection, *, keep_used: bool = False) -> None:
    """
    Run a plan, in order, inside the caller's transaction: all of it or nothing.

    Indexes that are declared ``concurrently`` are built so only on a connection in
    AUTOCOMMIT; inside a transaction they are built plainly.

    Args:
        plan: an ordered plan without conflicts.
        connection: whose transaction is used; it is neither begun nor committed here.
        keep_used: leave functions and schemas that something else still uses.

    Raises:
        ConflictingObjects: the plan has conflicts; nothing was done.
        MissingExtension: an extension is not there and may not be created by this role.
    """
    plan.insist()
    for step in plan.steps:
        if keep_used and step.after is None and _in_use(step, connection):
            continue
        _run(_plainly(step, connection), connection)


def _plainly(step: Step, connection: Connection) -> Step:
    if isinstance(step.subject, Index) and not autocommits(connection):
        return dataclasses.replace(
            step,
            before=_plain_index(step.before),
            after=_plain_index(step.after),
        )
    return step


def _plain_index(index: DatabaseObject | None) -> DatabaseObject | None:
    return dataclasses.replace(index, concurrently=False) if isinstance(index, Index) else index


def _run(step: Step, connection: Connection) -> None:
    for text in step.statements():
        try:
            connection.execute(sql.statement(text))
        except DBAPIError as error:
            if isinstance(step.subject, Extension):
                raise _missing(step.subject.name, error) from error
            raise


def _in_use(step: Step, connection: Connection) -> bool:
    subject = step.before
    if isinstance(subject, Function):
        found = rows(
            connection,
            FUNCTION_IN_USE,
            schema=subject.schema,
            name=subject.name,
            arguments=subject.identity_arguments or "",
        )
    elif isinstance(subject, Schema):
        found = rows(connection, SCHEMA_IN_USE, name=subject.name)
    else:
        return False
    return any(row.used for row in found)


def _missing(name: str, error: DBAPIError) -> MissingExtension:
    state = getattr(error.orig, "sqlstate", None)
    command = f"CREATE EXTENSION {sql.identifier(name)}"
    if state == "42501":
        return MissingExtension(
            name,
            f"this role may not create the extension {name}; ask a superuser to run, in this "
            f"database:\n    {command};",
        )
    return MissingExtension(
        name,
        f"the extension {name} cannot be created: {error.orig}\n"
        "Install its package on the server (on Debian: postgresql-<major>-<extension>), then "
        f"let a superuser run, in this database:\n    {command};",
    )
