"""
Statements for all partitions that a table has, whichever these are when they run.

PostgreSQL hands on to partitions the triggers of rows, and not those of statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ANY_TABLE", "on_partitions"]

ANY_TABLE = "\0"
"""Stands for the partition in a statement; in no name and no text of PostgreSQL's."""

BODY = """DECLARE
    child regclass;
BEGIN
    FOR child IN SELECT t.relid FROM pg_catalog.pg_partition_tree({table}) AS t WHERE t.level > 0
    LOOP
        {acts}
    END LOOP;
END"""


def on_partitions(table: str, statements: Iterable[str]) -> str:
    """
    One statement that runs others for each partition, at every level.

    Args:
        table: as SQL.
        statements: with `ANY_TABLE` where the partition is named.
    """
    acts = (
        " || child || ".join(sql.literal(piece) for piece in each.split(ANY_TABLE) if piece)
        + ("" if not each.endswith(ANY_TABLE) else " || child")
        for each in statements
    )
    lines = "\n        ".join(f"EXECUTE {act};" for act in acts)
    return f"DO {sql.dollar(BODY.format(table=sql.literal(table), acts=lines))}"
