"""
All that rooms read with: each a function of a Session, whose answers can be compared.

None of them may need more of a server than a replica has, or a pooler that gives each
transaction another connection.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults.library import EMBEDDER, book, email, library

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

__all__ = ["READS"]

LIB = library()
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=70)
"""Then there are partitions to make."""
BOOK: Any = LIB.Book
QUERY = "river or mountain"
VECTOR = EMBEDDER.embed(["river mountain"])[0]


def rows(statement: Any) -> Callable[[Session], Any]:
    """
    What a statement gives; objects by their key.
    """

    def read(session: Session) -> Any:
        return [tuple(map(plain, row)) for row in session.execute(statement)]

    return read


def plain(value: Any) -> Any:
    """
    Objects by their key; single precision as far as both drivers give it.
    """
    return round(value, 5) if isinstance(value, float) else getattr(value, "id", value)


def on_connection(verb: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """
    What a verb of a connection gives.
    """

    def read(session: Session) -> Any:
        return verb(session.connection(), *arguments, **options)

    return read


def _near(**options: Any) -> Any:
    return rows(embeddings.nearest(sa.select(BOOK), BOOK.embedding, VECTOR, 5, **options))


def _standing(session: Session) -> Any:
    found = partitions.status(session.connection(), LIB.metadata)
    return [(each.table, each.healthy, each.default_rows, len(each.partitions)) for each in found]


def _queue(session: Session) -> Any:
    status = embeddings.queue_status(session.connection(), BOOK.embedding)
    return (status.waiting, status.failed, status.embedded)


def _found(session: Session) -> Any:
    reader = LIB.Reader
    return [
        each.id
        for each in encryption.find(session, sa.select(reader), reader.email, email(3).lower())
    ]


NEW_BOOKS = sa.select(BOOK).order_by(BOOK.id)
READS: dict[str, Callable[[Session], Any]] = {
    "search.match": rows(sa.select(BOOK.id).where(search.match(BOOK.search, QUERY)).order_by("id")),
    "search.phrase": rows(
        sa.select(BOOK.id).where(search.phrase(BOOK.search, book(8)["title"])).order_by("id")
    ),
    "search.any_word": rows(
        sa.select(BOOK.id).where(search.any_word(BOOK.search, "river x")).order_by("id")
    ),
    "search.prefix": rows(
        sa.select(BOOK.id).where(search.prefix(BOOK.search, "riv")).order_by("id")
    ),
    "search.rank": rows(
        sa.select(
            BOOK.id, search.rank(BOOK.search, QUERY), search.rank_cd(BOOK.search, QUERY)
        ).order_by("id")
    ),
    "search.headline": rows(
        sa.select(BOOK.id, search.headline(BOOK.search, QUERY)).order_by("id").limit(5)
    ),
    "search.understood": rows(sa.select(search.understood(BOOK.search, QUERY))),
    "search.top": rows(search.top(sa.select(BOOK), BOOK.search, QUERY, 5)),
    "search.suggest": rows(search.suggest(BOOK.search, "riv")),
    "search.did_you_mean": rows(search.did_you_mean(BOOK.search, "rivver")),
    "search.federated": rows(search.federated([search.Source(BOOK)], QUERY, limit=5)),
    "search.hybrid": rows(search.hybrid(BOOK, text=QUERY, vector=VECTOR, limit=5)),
    "embeddings.nearest": _near(),
    "embeddings.nearest with effort": _near(effort=80, plan="index"),
    "embeddings.rerank": rows(embeddings.rerank(sa.select(BOOK), BOOK.embedding, VECTOR, 5)),
    "embeddings.similarity": rows(
        sa.select(BOOK.id, embeddings.similarity(BOOK.embedding, VECTOR)).order_by("id")
    ),
    "embeddings.within": rows(
        sa.select(BOOK.id).where(embeddings.within(BOOK.embedding, VECTOR, 0.4)).order_by("id")
    ),
    "embeddings.recall": on_connection(embeddings.recall, BOOK.embedding, 5, k=3),
    "embeddings.queue_status": _queue,
    "encryption: equality": rows(
        sa.select(LIB.Reader.id, LIB.Reader.email).where(LIB.Reader.email == email(5))
    ),
    "encryption.find": _found,
    "encryption.key_usage": on_connection(encryption.key_usage, LIB.Reader.email),
    "partitions.status": _standing,
    "partitions.plan": on_connection(partitions.plan, LIB.metadata, now=LATER),
    "partitions.partitions_touched": on_connection(
        partitions.partitions_touched, sa.select(LIB.Loan.id)
    ),
    "soft_delete: live rows": rows(NEW_BOOKS),
    "soft_delete.with_deleted": rows(soft_delete.with_deleted(NEW_BOOKS)),
    "soft_delete.only_deleted": rows(soft_delete.only_deleted(NEW_BOOKS)),
    "soft_delete.audit": on_connection(soft_delete.audit, BOOK),
}
