"""
Premaking by the database itself: a job of pg_cron for each table, where pg_cron is present.

Only premaking: DETACH CONCURRENTLY and CREATE INDEX CONCURRENTLY can run in no function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import MissingExtension
from pgultra.features.partitions.children import parents_of
from pgultra.features.partitions.objects import premake_function
from pgultra.features.partitions.registration import registration_name
from pgultra.features.partitions.survey import metadata_of
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.features.partitions.children import Parent

__all__ = ["schedule_premake", "unschedule_premake"]

PRESENT = "SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_cron'"
SCHEDULE = """
SELECT cron.schedule(CAST(:name AS text), CAST(:schedule AS text), CAST(:command AS text))
"""
UNSCHEDULE = """
SELECT cron.unschedule(j.jobid) FROM cron.job AS j
WHERE j.jobname = :name AND j.database = pg_catalog.current_database()
    AND j.username = CURRENT_USER
"""


def command_of(parent: Parent) -> str:
    """
    What the job runs: the function that ``maintain`` calls, with the rules in the database.
    """
    function = premake_function(parent.table.metadata, parent.schema)
    premake = sql.qualified(parent.schema, function.name)
    rules = sql.qualified(parent.schema, registration_name(parent.table))
    # who waits for a lock without end makes all writers wait who come after
    return (
        "WITH patience AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', '2s', true)) "  # noqa: S608  # quoted
        f"SELECT {premake}({sql.literal(parent.spelt)}::regclass, {rules}()) FROM patience"
    )


def job_name(parent: Parent) -> str:
    """
    One job for each table and application.
    """
    return f"pgultra {parent.application} premake {parent.spelt}"


@on_connection
def schedule_premake(
    connection: Connection,
    metadata: Any,  # a MetaData, a declarative base, or several of them
    *,
    schedule: str = "17 * * * *",
) -> tuple[str, ...]:
    """
    Let pg_cron make partitions ahead; call it again to change the schedule.

    Retention, archives and indexes stay with ``maintain``.

    Args:
        connection: to the database in which pg_cron is installed; its transaction is used, and
            not committed. With an AsyncConnection, await the result.
        metadata: a MetaData, a declarative base, or a list of them.
        schedule: as cron writes it; pg_cron counts in GMT.

    Returns:
        The names of the jobs.

    Raises:
        MissingExtension: pg_cron is not in this database.

    Example:
        ``partitions.schedule_premake(connection, Base)``
    """
    if not rows(connection, PRESENT):
        raise MissingExtension(
            "pg_cron",
            "pg_cron is not installed in this database: let a superuser run CREATE EXTENSION "
            "pg_cron there (it needs shared_preload_libraries), or call maintain regularly "
            "instead, which premakes as well",
        )
    names = []
    for parent in parents_of(connection, metadata_of(metadata)):
        if parent.oid is not None and parent.strategy is not None:
            names.append(job_name(parent))
            rows(
                connection,
                SCHEDULE,
                name=names[-1],
                schedule=schedule,
                command=command_of(parent),
            )
    return tuple(names)


@on_connection
def unschedule_premake(
    connection: Connection,
    metadata: Any,  # a MetaData, a declarative base, or several of them
) -> tuple[str, ...]:
    """
    Take the jobs away again.

    Args:
        connection: as for ``schedule_premake``.
        metadata: a MetaData, a declarative base, or a list of them.

    Returns:
        The names of the jobs that were there.

    Raises:
        DeclarationError: ``metadata`` is something else.

    Example:
        ``partitions.unschedule_premake(connection, Base)``
    """
    if not rows(connection, PRESENT):
        return ()
    return tuple(
        job_name(parent)
        for parent in parents_of(connection, metadata_of(metadata))
        if rows(connection, UNSCHEDULE, name=job_name(parent))
    )
