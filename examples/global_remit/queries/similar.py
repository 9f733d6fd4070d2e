"""
Steps 2.2 and 2.3: vectors of clients and transactions, and who is like whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import undefer

from models import EMBEDDER, Client, Transaction
from pgultra import embeddings, search
from queries.explained import indexes_used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine, Row
    from sqlalchemy.orm import Session


def generate_embedding(text: str) -> Sequence[float]:
    """
    ``ai.generate_embedding(text)``: 1,536 numbers.

    The plan's were random, so that nothing was like anything, and made in the database,
    where a real model would be called with the transaction open.
    """
    (vector,) = EMBEDDER.embed([text])
    return vector


def update_embeddings(engine: Engine) -> int:
    """
    ``ai.update_client_embedding(client_id)``, for every client whose text changed.

    Triggers note who is stale; nobody has to remember to call it. The text is made so that
    a missing last name leaves a name, where the plan's ``||`` gave NULL.
    """
    columns = (Client.embedding, Transaction.description_embedding)
    done = [embeddings.EmbeddingWorker(engine, EMBEDDER, each).work() for each in columns]
    return sum(each.embedded for each in done)


def find_similar_clients(
    session: Session, vector: Any, threshold: float = 0.8, count: int = 10
) -> Sequence[Row[Any]]:
    """
    ``ai.find_similar_clients(query_embedding, match_threshold, match_count)``.

    ``within`` is the threshold, as a distance. A vector of the wrong length is refused
    before it is sent, a closed client never comes, and ``count`` rows do come if so many
    are near enough, which the plan's index did not promise.
    """
    columns = (Client.id, Client.first_name, Client.last_name, Client.email)
    alike = embeddings.similarity(Client.embedding, vector).label("similarity")
    near = select(*columns, alike).where(embeddings.within(Client.embedding, vector, 1 - threshold))
    return session.execute(embeddings.nearest(near, Client.embedding, vector, k=count)).all()


def twins(session: Session, client: Client, threshold: float = 0.7) -> Sequence[Row[Any]]:
    """
    Who may be the same person twice: the stored vector of one client is the question.
    """
    vector = select(Client.embedding).where(Client.id == client.id).scalar_subquery()
    others = select(Client.first_name, Client.last_name, Client.email).where(
        Client.id != client.id, embeddings.within(Client.embedding, vector, 1 - threshold)
    )
    return session.execute(embeddings.nearest(others, Client.embedding, vector, k=5)).all()


def words_and_meaning(session: Session, text: str, limit: int = 5) -> Sequence[Row[Any]]:
    """
    "Recommendations by vectors": both searches in one statement, fused by their ranks.
    """
    statement = search.hybrid(Client, text=text, vector=generate_embedding(text), limit=limit)
    return session.execute(statement).all()


def similar_transactions(session: Session, text: str, status: str) -> Sequence[Row[Any]]:
    """
    What ``description_embedding`` was for; rows come however rare the filter is.
    """
    found = select(Transaction).where(Transaction.status == status)
    found = found.options(undefer(Transaction.description))
    vector = generate_embedding(text)
    column = Transaction.description_embedding
    return session.execute(embeddings.nearest(found, column, vector, k=10)).all()


def explained(session: Session) -> set[str]:
    """
    ``EXPLAIN ANALYZE SELECT * FROM ai.find_similar_clients(…)``: by which index.
    """
    vector = generate_embedding("John Doe")
    statement = embeddings.nearest(select(Client.id), Client.embedding, vector, plan="index")
    return indexes_used(session, statement)
