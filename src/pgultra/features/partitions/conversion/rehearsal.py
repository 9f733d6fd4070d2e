"""
Some rows taken through the new table and back: what would fail later fails now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.design import Design

__all__ = ["rehearse_rows"]

MOST = 100


def rehearse_rows(connection: Connection, found: Design) -> None:
    """
    Put a sample into the new table, and roll back; the first rows where a sample has none.
    """
    names = found.names
    columns = ", ".join(map(sql.identifier, found.old.stored))
    for sample in (" TABLESAMPLE SYSTEM (1)", ""):
        savepoint = connection.begin_nested()
        done = connection.execute(
            sql.statement(
                f"INSERT INTO {names.new} ({columns}) OVERRIDING SYSTEM VALUE "  # noqa: S608  # quoted
                f"SELECT {columns} FROM {names.table}{sample} LIMIT {MOST}"
            )
        )
        savepoint.rollback()
        if done.rowcount > 0:
            break
