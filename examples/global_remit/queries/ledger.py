"""
The views of step 3.1, the indexes of the second document, and the audit log of step 1.3.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, insert, select, table, text

from models import AuditLog, Base, Client, Transaction
from pgultra import partitions, soft_delete

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Row
    from sqlalchemy.orm import Session


def clients_summary(session: Session, limit: int = 5) -> Sequence[Row[Any]]:
    """
    ``SELECT * FROM rest_api.clients_summary LIMIT 5``.

    The view has the rights of who reads it; the plan's had its owner's, past row security.
    """
    found = select(text("*")).select_from(table("clients_summary")).limit(limit)
    return session.execute(found).all()


def transactions_summary(session: Session, reference: str) -> Row[Any]:
    """
    ``rest_api.transactions_summary``: a transfer with its client and its type.
    """
    found = select(text("*")).select_from(table("transactions_summary"))
    chosen = found.where(text("transaction_reference = :reference"))
    return session.execute(chosen, {"reference": reference}).one()


def transactions_of(client: Client, status: str) -> Select[Any]:
    """
    What ``idx_transactions_client_status`` was for: an index of it is on every partition.
    """
    return select(Transaction).where(
        Transaction.client_id == client.id, Transaction.status == status
    )


def client_of(email: str) -> Select[Any]:
    """
    What ``idx_clients_email`` was for: the index that makes addresses unique finds them too.

    A session leaves closed clients out by itself; said here, it holds within EXPLAIN too.
    """
    return select(Client.id).where(Client.email == email, soft_delete.alive(Client))


def transactions_in(begin: datetime, days: int) -> Select[Any]:
    """
    The transfers of some days, newest first: one month's partition is read, not all.
    """
    end = begin + timedelta(days=days)
    found = select(Transaction).where(Transaction.created_at >= begin, Transaction.created_at < end)
    return found.order_by(Transaction.created_at.desc())


def write_audit(session: Session, day: datetime, rows: int = 1000) -> None:
    """
    The write test of step 1.3: 1,000 rows of the audit log.

    The plan's table was unlogged, so that a crash emptied it. These are logged.
    """
    values = [
        {
            "timestamp": day + timedelta(minutes=number),
            "table_name": "test_table",
            "operation": "INSERT",
            "old_data": {},
            "new_data": {"data": "test"},
        }
        for number in range(rows)
    ]
    session.execute(insert(AuditLog), values)


def nightly(connection: Connection, night: datetime, folder: Path) -> partitions.Maintained:
    """
    ``core.migrate_unlogged_to_logged()``, and the nightly DELETE of old rows.

    The plan's function copied seven days, emptied the table and, called again, lost all
    that had come since. Here a day that is too old leaves whole, into a file with a
    checksum, and days ahead are made.
    """
    done = partitions.maintain(connection, Base, now=night, archive_to=folder)
    assert done.complete, done
    return done
