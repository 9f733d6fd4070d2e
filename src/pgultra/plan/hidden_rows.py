"""
Whether this role sees all rows of a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.errors import PgultraError
from pgultra.objects._catalog import rows
from pgultra.plan.read import own_transaction

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["has_hidden_rows", "insist_on_all_rows"]

HIDDEN = "SELECT pg_catalog.row_security_active(CAST(:place AS text)) AS is_hidden"


def has_hidden_rows(connection: Connection, place: str) -> bool:
    """
    Whether row level security holds for this role, and so may hide rows from it.

    Args:
        connection: as whom it is asked.
        place: the table, quoted, with its schema.
    """
    with own_transaction(connection):
        return bool(rows(connection, HIDDEN, place=place)[0].is_hidden)


def insist_on_all_rows(
    connection: Connection, place: str, what: str, error: type[PgultraError] = PgultraError
) -> None:
    """
    Refuse to speak of all rows where policies hide some from this role.

    Args:
        connection: as whom it is asked.
        place: the table, quoted, with its schema.
        what: what would become of the hidden rows: ``"backfill would pass over"``.
        error: what is raised.

    Raises:
        PgultraError: they do.
    """
    if has_hidden_rows(connection, place):
        raise error(
            f"{place} has row level security that holds for this role, so {what} the rows that "
            "it hides: run it as a role with BYPASSRLS, or as the owner after ALTER TABLE "
            f"{place} NO FORCE ROW LEVEL SECURITY"
        )
