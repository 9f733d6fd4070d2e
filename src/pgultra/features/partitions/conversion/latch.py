"""
The locks of the exchange, in the order in which nobody keeps it waiting.

Who reads a view holds the view while he waits for its table. So the views come first: else busy
readers would keep them from being turned, again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import sql
from pgultra.features.partitions.conversion.survey import scripted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.features.partitions.conversion.acts import Act

__all__ = ["latch", "view_locks"]


def view_locks(connection: Connection, oid: int) -> list[str]:
    """
    The statements that lock the plain views on a table; LOCK TABLE would lock what they read.
    """
    question = scripted("view_locks", reads=scripted("reads"), oid=str(int(oid)))
    return list(connection.execute(sql.statement(question)).scalars())


def latch(connection: Connection, oid: int, tables: Act) -> None:
    """
    Lock the views on a table, and then the tables.

    Args:
        connection: in the transaction of the exchange.
        oid: of the table that has the name.
        tables: the statement that locks the tables.
    """
    for text in (*view_locks(connection, oid), tables.text):
        connection.execute(sql.statement(text))
