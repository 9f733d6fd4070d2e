"""
Many statements in one message, for the moments in which everybody waits.

An exchange is some sixty statements and more with every partition; sent one by one, each would
keep the lock for as long as the network takes there and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

__all__ = ["together"]


def together(connection: Connection, texts: Iterable[str]) -> None:
    """
    Execute statements in their order, as one; if one fails, PostgreSQL's error quotes it.

    Args:
        connection: within a transaction, which stays as it is.
        texts: what they answer is not seen; none of them ends the transaction or sets a savepoint.
    """
    connection.execute(sql.statement(block(texts)))


def block(texts: Iterable[str]) -> str:
    """
    The one statement.

    >>> print(block(["DROP VIEW a", "DROP VIEW b"]))
    DO $$BEGIN
    EXECUTE 'DROP VIEW a';
    EXECUTE 'DROP VIEW b';
    END$$
    """
    lines = [f"EXECUTE {sql.literal(text)};" for text in texts]
    return "DO " + sql.dollar("\n".join(["BEGIN", *lines, "END"]))
