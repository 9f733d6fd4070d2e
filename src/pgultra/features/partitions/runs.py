"""
The log of runs: one row for each table, of the last time that it was maintained.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import sqlstate_of
from pgultra.features.partitions.attempts import plainly
from pgultra.objects import Mark
from pgultra.objects._catalog import rows
from pgultra.plan.declare import function_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pgultra.features.partitions.attempts import Attempts
    from pgultra.features.partitions.children import Parent

__all__ = ["last_runs", "record", "run_table"]

TAKEN = "23505"
"""unique_violation: of two that make a table of one name, the second gets it."""
FULL = "53"
"""The class of what a server lacks: room on the disk, above all."""
COLUMNS = """(
    parent text PRIMARY KEY,
    ran_at timestamptz NOT NULL,
    ran_on text NOT NULL,
    done integer NOT NULL,
    problems text[] NOT NULL
)"""
EXISTS = """
SELECT n.nspname || '.' || c.relname AS name
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (:schemas) AND c.relname = ANY (:names) AND c.relkind = 'r'
"""


def run_table(parent: Parent) -> tuple[str, str]:
    """
    Schema and name of the log that a table's runs are written to.
    """
    return parent.schema, function_name(parent.table.metadata, "partitions", "run")


def record(
    attempts: Attempts,
    parents: Sequence[Parent],
    done: Mapping[str, int],
    problems: Mapping[str, Sequence[str]],
) -> str | None:
    """
    Write down that these tables were maintained; the reason, if that is not allowed.

    The log is made when it is not there. It is a convenience: without it, all works.
    """
    by_log: dict[tuple[str, str], list[Parent]] = {}
    for parent in parents:
        by_log.setdefault(run_table(parent), []).append(parent)
    try:
        for log, several in by_log.items():
            write = partial(_write, attempts, log, several, done, problems)
            try:
                attempts.until_it_works(write)
            except DBAPIError as error:
                if sqlstate_of(error) != TAKEN:
                    raise
                attempts.until_it_works(write)  # another run made the log at the same moment
    except DBAPIError as error:
        state = sqlstate_of(error) or ""
        if state not in ("42501", "25006") and not state.startswith(FULL):  # no right, read-only
            raise
        return f"the run is not written down: {str(error.orig).strip()}"
    return None


def _write(
    attempts: Attempts,
    log: tuple[str, str],
    parents: Sequence[Parent],
    done: Mapping[str, int],
    problems: Mapping[str, Sequence[str]],
) -> None:
    table = sql.qualified(*log)
    with attempts.transaction() as connection:
        if not rows(connection, EXISTS, schemas=[log[0]], names=[log[1]]):
            mark = sql.literal(str(Mark(parents[0].application, "partitions")))
            connection.execute(sql.statement(f"CREATE TABLE IF NOT EXISTS {table} {COLUMNS}"))
            connection.execute(sql.statement(f"COMMENT ON TABLE {table} IS {mark}"))
        connection.execute(
            text(
                f"INSERT INTO {plainly(table)} (parent, ran_at, ran_on, done, problems) "  # noqa: S608  # quoted
                "VALUES (:parent, pg_catalog.clock_timestamp(), :host, :done, :problems) "
                "ON CONFLICT (parent) DO UPDATE SET ran_at = EXCLUDED.ran_at, "
                "ran_on = EXCLUDED.ran_on, done = EXCLUDED.done, problems = EXCLUDED.problems"
            ),
            [
                {
                    "parent": parent.name,
                    "host": socket.gethostname(),
                    "done": done.get(parent.spelt, 0),
                    "problems": list(problems.get(parent.spelt, ())),
                }
                for parent in parents
            ],
        )


def last_runs(
    connection: Connection, parents: Sequence[Parent]
) -> dict[tuple[str, str], tuple[datetime, Sequence[str]]]:
    """
    When each table was maintained last, and what could not be done then.
    """
    logs = {run_table(parent) for parent in parents}
    if not logs:
        return {}
    there = {
        row.name
        for row in rows(
            connection,
            EXISTS,
            schemas=[schema for schema, _ in logs],
            names=[name for _, name in logs],
        )
    }
    found: dict[tuple[str, str], tuple[datetime, Sequence[str]]] = {}
    for schema, name in logs:
        if f"{schema}.{name}" not in there:
            continue
        query = f"SELECT parent, ran_at, problems FROM {sql.qualified(schema, name)}"  # noqa: S608  # quoted
        result: Any = connection.execute(sql.statement(query))
        for row in result:
            found[schema, row.parent] = (row.ran_at, row.problems)
    return found
