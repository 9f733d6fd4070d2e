"""
What must be so that rows can leave a default partition: a key, no subscriber, no foreign eye.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.errors import PgultraError
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["insist_unpublished", "key_of", "may_silence"]

IDENTITY = """
SELECT ARRAY(
    SELECT a.attname::text FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = CAST(CAST(:table AS text) AS oid) AND i.indisunique AND i.indisvalid
    AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
        SELECT FROM pg_catalog.unnest(i.indkey) AS k (number)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE NOT a.attnotnull)
ORDER BY i.indisprimary DESC, i.indexrelid
LIMIT 1
"""
REFERRING = """
SELECT n.nspname || '.' || c.relname AS name
FROM pg_catalog.pg_constraint AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.confrelid = CAST(CAST(:table AS text) AS oid)
ORDER BY 1
"""
MAY_SILENCE = "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET') AS may"
PUBLISHED = """
SELECT p.pubname AS name
FROM pg_catalog.pg_publication AS p
WHERE (p.pubinsert OR p.pubdelete) AND (p.puballtables
    OR EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(
            CAST(CAST(:table AS text) AS oid)) AS t
        JOIN pg_catalog.pg_publication_rel AS r ON r.prrelid = t.relid
        WHERE r.prpubid = p.oid)
    OR EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(
            CAST(CAST(:table AS text) AS oid)) AS t
        JOIN pg_catalog.pg_class AS c ON c.oid = t.relid
        JOIN pg_catalog.pg_publication_namespace AS n ON n.pnnspid = c.relnamespace
        WHERE n.pnpubid = p.oid))
ORDER BY p.pubname
"""


def key_of(connection: Connection, default: int, source: str) -> list[str]:
    """
    The columns by which the rows of a default partition are told apart.

    Args:
        connection: in a transaction.
        default: its oid.
        source: its name, as SQL.

    Raises:
        PgultraError: there are none.
    """
    found = rows(connection, IDENTITY, table=str(default))
    if not found:
        raise PgultraError(
            f"{source} has no primary key, and no unique index of columns that are never "
            "NULL: its rows cannot be told apart while they are moved; give it one"
        )
    return list(found[0].columns)


def insist_unpublished(connection: Connection, default: int, source: str) -> None:
    """
    See that no subscriber is told of the rows that leave a default partition.

    The copy is a table that subscribers do not know, so that of a move they would get the
    DELETE alone.

    Args:
        connection: in a transaction.
        default: oid of the default partition.
        source: its name, as SQL.

    Raises:
        PgultraError: a publication has it.
    """
    found = [row.name for row in rows(connection, PUBLISHED, table=str(default))]
    if found:
        raise PgultraError(
            f"{source} is published by {', '.join(found)}, and subscribers would be told that the "
            "rows which move are deleted: stop all writers, take the table out of the publication, "
            "drain the default partition here and there, put the table back, and let subscribers "
            "run ALTER SUBSCRIPTION … REFRESH PUBLICATION WITH (copy_data = false) before anybody "
            "writes again"
        )


def may_silence(connection: Connection, parent: int, table: str) -> bool:
    """
    Whether triggers of other tables can be kept from hearing of a move.

    Args:
        connection: in a transaction.
        parent: oid of the partitioned table.
        table: its name, as SQL.

    Raises:
        PgultraError: they cannot, and foreign keys refer to the table.
    """
    silence = bool(rows(connection, MAY_SILENCE)[0].may)
    referring = [row.name for row in rows(connection, REFERRING, table=str(parent))]
    if referring and not silence:
        raise PgultraError(
            f"foreign keys of {', '.join(dict.fromkeys(referring))} refer to {table}, and "
            "rows that move would look deleted to them: run this as a role that may set "
            "session_replication_role (GRANT SET ON PARAMETER session_replication_role TO …)"
        )
    return silence
