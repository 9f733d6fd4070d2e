"""
Tables that pg_partman looks after: known, and left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["managed_by_partman"]

CONFIGURATION = """
SELECT n.nspname AS schema
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'part_config'
WHERE e.extname = 'pg_partman' AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
"""


def managed_by_partman(connection: Connection) -> frozenset[tuple[str, str]]:
    """
    The schema and name of each table that pg_partman is configured for.

    Nothing where the extension is not installed, or this role may not read its table.

    Example:
        ``managed_by_partman(connection)`` gives ``frozenset({("public", "event")})``
    """
    found = rows(connection, CONFIGURATION)
    if not found:
        return frozenset()
    table = sql.qualified(found[0].schema, "part_config")
    query = f"SELECT parent_table::text FROM {table}"  # noqa: S608  # quoted
    names = connection.execute(sql.statement(query)).scalars().all()
    # pg_partman writes schema.name without quotes, and refuses other dots
    return frozenset((schema, name) for schema, _, name in (each.partition(".") for each in names))
