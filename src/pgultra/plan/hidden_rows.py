"""
Whether this role sees all rows of a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["has_hidden_rows"]

HIDDEN = "SELECT pg_catalog.row_security_active(CAST(:place AS text)) AS is_hidden"


def has_hidden_rows(connection: Connection, place: str) -> bool:
    """
    Whether row level security holds for this role, and so may hide rows from it.

    Args:
        connection: as whom it is asked.
        place: the table, quoted, with its schema.
    """
    return bool(rows(connection, HIDDEN, place=place)[0].is_hidden)
