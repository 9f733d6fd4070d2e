"""
What DELETE does, and a remittance house may not: a client is closed, and can come back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from models import Client
from pgultra import soft_delete

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session


def close(session: Session, email: str, by: str) -> Client:
    """
    Close a client, with accounts and sensitive data, under one deletion; transfers stay.
    """
    client = session.scalars(select(Client).where(Client.email == email)).one()
    soft_delete.delete(session, client, by=by)
    session.flush()
    return client


def reopen(session: Session, client: Client) -> int:
    """
    Take the closing back, with all that it took and nothing else; gives how many rows.
    """
    return len(soft_delete.restore(session, client))


def purge(connection: Connection, days: int = 30) -> soft_delete.Purged:
    """
    What a nightly ``DELETE … INTERVAL '30 days'`` may take: clients who are closed so long.

    In batches, each its own transaction. A client whom a transfer names is skipped, and
    said to be.
    """
    return soft_delete.purge(connection, Client, older_than=timedelta(days=days))
