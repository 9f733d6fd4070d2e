"""
Partitions that somebody else made: marked as ours, so that retention may take them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.bridge import on_connection
from pgultra.errors import PgultraError
from pgultra.features.partitions.children import parents_of, read_children
from pgultra.features.partitions.partman import managed_by_partman
from pgultra.features.partitions.survey import metadata_of, table_of
from pgultra.objects import Mark
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["adopt"]

COMMENT = """
SELECT pg_catalog.obj_description(CAST(CAST(:oid AS text) AS oid), 'pg_class') AS comment
"""


@on_connection
def adopt(
    connection: Connection,
    target: Any,  # a mapped class or Table; a MetaData or declarative base for all of its tables
    *,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """
    Mark the partitions that a table has as ours; from then on retention sees to them, too.

    What ``maintain`` makes is marked from the start. Look at ``plan`` afterwards: it tells
    what is old enough to go.

    Args:
        connection: its transaction is used, and not committed. With an AsyncConnection, await
            the result.
        target: a mapped class or Table; a MetaData or base for all of its tables.
        dry_run: only tell what would be marked.

    Returns:
        The partitions that had no mark, at every level, with their schemas.

    Raises:
        PgultraError: pg_partman manages the table, or another application's mark is there.

    Example:
        ``partitions.adopt(connection, Event)`` after pg_partman has let go of the table
    """
    wanted = table_of(target)
    parents = [
        each
        for each in parents_of(connection, metadata_of(target))
        if each.oid is not None and (wanted is None or each.table is wanted)
    ]
    theirs = managed_by_partman(connection)
    marks = {each.oid: each for each in parents}
    adopted = []
    for parent in parents:
        if (parent.schema, parent.name) in theirs:
            raise PgultraError(
                f"{parent.spelt} is managed by pg_partman: take it out of part_config first"
            )
    for child in read_children(connection, parents):
        if child.marked:
            continue
        comment = rows(connection, COMMENT, oid=str(child.oid))[0].comment
        text, mark = Mark.parse(comment)
        if mark is not None:
            raise PgultraError(
                f"{child.spelt} is marked already, as {mark}: it is not ours to take"
            )
        adopted.append(child.spelt)
        if not dry_run:
            kind = "FOREIGN TABLE" if child.foreign else "TABLE"
            said = "\n".join([*([text] if text else []), marks[child.root_oid].mark])
            connection.execute(
                sql.statement(f"COMMENT ON {kind} {child.spelt} IS {sql.literal(said)}")
            )
    return tuple(adopted)
