"""
Step 2.1, tsvector and tsquery; and the search of the REST layer, step 3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from models import Client, Transaction
from pgultra import search
from queries.explained import indexes_used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row
    from sqlalchemy.orm import Session


def search_clients(session: Session, words: str, limit: int = 10) -> Sequence[Row[Any]]:
    """
    ``rest_api.search_clients(search_term)``: names, e-mail, phone and rank, best first.

    The plan gave what people type to ``to_tsquery``, so that "ann bee" was a syntax error,
    and returned ``real`` where it had promised ``float``, so that nothing came at all. Here
    any text is a query, and closed clients are left out.
    """
    columns = select(Client.first_name, Client.last_name, Client.email, Client.phone)
    return session.execute(search.top(columns, Client.search_vector, words, limit)).all()


def search_transactions(session: Session, words: str, limit: int = 10) -> Sequence[Row[Any]]:
    """
    What ``description_vector`` was for: the plan made column and index and never filled them.
    """
    marked = search.headline(Transaction.description_vector, words, of="description")
    columns = select(Transaction.transaction_reference, marked.label("description"))
    statement = search.top(columns, Transaction.description_vector, words, limit, candidates=None)
    return session.execute(statement).all()


def search_as_you_type(session: Session, letters: str) -> Sequence[str]:
    """
    The names that begin so, for a field that is still being filled in.
    """
    name = func.concat_ws(" ", Client.first_name, Client.last_name)
    found = select(name).where(search.prefix(Client.search_vector, letters))
    return session.scalars(found.order_by(name)).all()


def fill(connection: Connection) -> int:
    """
    "Update existing data": rows that were there before the vector.

    The plan did it with one UPDATE of all rows in the migration's transaction. This goes
    batch by batch, each its own transaction, and can be stopped and run again.
    """
    return search.backfill(connection, Client.search_vector).changed


def explained(session: Session, words: str = "john") -> set[str]:
    """
    ``EXPLAIN ANALYZE SELECT * FROM core.clients WHERE search_vector @@ …``: by which index.
    """
    matching = select(Client.id).where(search.match(Client.search_vector, words))
    return indexes_used(session, matching)
