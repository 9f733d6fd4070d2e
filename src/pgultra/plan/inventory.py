"""
All that bears a mark of pgultra in a database, whatever the models say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.objects import Mark, Scope
from pgultra.objects._catalog import rows
from pgultra.plan.read import read, scratch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.objects import DatabaseObject

__all__ = ["inventory"]

MARKED = """
SELECT DISTINCT pg_catalog.split_part(description, E'\\n', -1) AS mark
FROM pg_catalog.pg_description
WHERE description LIKE '%pgultra:%'
"""
TABLES = """
SELECT coalesce(pg_catalog.current_schema(), 'public') AS default_schema,
    n.nspname, c.relname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%'
    AND n.nspname <> 'information_schema'
"""


def inventory(connection: Connection) -> tuple[DatabaseObject, ...]:
    """
    Every marked object, application by application.
    """
    with scratch(connection):
        marks = [Mark.parse(row.mark)[1] for row in rows(connection, MARKED)]
        applications = sorted({mark.application for mark in marks if mark is not None})
        tables = rows(connection, TABLES)
        found: list[DatabaseObject] = []
        for application in applications:
            scope = Scope(
                application=application,
                default_schema=tables[0].default_schema if tables else "public",
                tables=frozenset((row.nspname, row.relname) for row in tables),
            )
            found += (
                each
                for each in read(connection, scope).values()
                if each.mark is not None and each.mark.application == application
            )
    return tuple(found)
