"""
All that rooms read with: each a function of a Session, whose answers can be compared.

None of them may need more of a server than a replica has, or a pooler that gives each
transaction another connection. A public name of a room that is not in here is in `NO_READS`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults import annex, operations
from tests.faults.library import EMBEDDER, book, email, library

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

__all__ = ["NO_READS", "OF_THE_OWNER", "READS", "prepared"]

LIB = library()
LATER = dt.datetime.now(dt.UTC) + dt.timedelta(days=70)
"""Then there are partitions to make."""
BOOK: Any = LIB.Book
STORY: Any = annex.Story
QUERY = "river or mountain"
VECTOR = EMBEDDER.embed(["river mountain"])[0]


def prepared(engine: sa.Engine) -> None:
    """
    An empty database gets something to find in every room.
    """
    operations.old_deletions(engine)
    operations.worker(engine).work()
    with engine.begin() as connection:
        search.roll_up(connection, BOOK.search)
    annex.filled(engine)
    annex.divided_by_partman(engine)


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


def on_idle_connection(verb: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """
    What a verb says that takes a connection in no transaction.
    """

    def read(session: Session) -> Any:
        with session.get_bind().engine.connect() as connection:
            return str(verb(connection, *arguments, **options))

    return read


def _near(**options: Any) -> Any:
    return rows(embeddings.nearest(sa.select(BOOK), BOOK.embedding, VECTOR, 5, **options))


def _standing(session: Session) -> Any:
    found = partitions.status(session.connection(), LIB.metadata)
    return [(each.table, each.healthy, each.default_rows, len(each.partitions)) for each in found]


def _queue(session: Session) -> Any:
    status = embeddings.queue_status(session.connection(), BOOK.embedding)
    return (status.waiting, status.failed, status.embedded)


def _found(entity: Any, column: Any, *value: Any, **options: Any) -> Callable[[Session], Any]:
    def read(session: Session) -> Any:
        found = encryption.find(session, sa.select(entity), column, *value, **options)
        return [each.id for each in found]

    return read


def _pages(session: Session) -> Any:
    found: list[Any] = []
    for _ in range(3):
        last = found[-1] if found else None
        after = search.After(last.rank, last.source, last.key) if last else None
        page = search.federated([search.Source(BOOK)], QUERY, limit=4, after=after)
        found += session.execute(page)
    return [tuple(map(plain, row)) for row in found]


def _pruned(session: Session) -> Any:
    loans = sa.select(LIB.Loan.id)
    moment = dt.datetime.now(dt.UTC)
    partitions.assert_pruned(session.connection(), loans.where(LIB.Loan.at == moment))
    with pytest.raises(AssertionError) as told:
        partitions.assert_pruned(session.connection(), loans)
    return str(told.value)


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
    "search.rank": rows(sa.select(BOOK.id, search.rank(BOOK.search, QUERY)).order_by("id")),
    "search.rank_cd": rows(sa.select(BOOK.id, search.rank_cd(BOOK.search, QUERY)).order_by("id")),
    "search.headline": rows(
        sa.select(BOOK.id, search.headline(BOOK.search, QUERY)).order_by("id").limit(5)
    ),
    "search.understood": rows(sa.select(search.understood(BOOK.search, QUERY))),
    "search.top": rows(search.top(sa.select(BOOK), BOOK.search, QUERY, 5)),
    "search.suggest": rows(search.suggest(BOOK.search, "riv")),
    "search.did_you_mean": rows(search.did_you_mean(BOOK.search, "rivver")),
    "search.federated": rows(search.federated([search.Source(BOOK)], QUERY, limit=5)),
    "search.federated, page after page": _pages,
    "search.hybrid": rows(search.hybrid(BOOK, text=QUERY, vector=VECTOR, limit=5)),
    "embeddings.nearest": _near(),
    "embeddings.nearest, with effort": _near(effort=80, plan="index"),
    "embeddings.nearest_parents": rows(
        embeddings.nearest_parents(sa.select(STORY), annex.Page.embedding, VECTOR, 5)
    ),
    "embeddings.rerank": rows(embeddings.rerank(sa.select(BOOK), BOOK.embedding, VECTOR, 5)),
    "embeddings.distance": rows(
        sa.select(BOOK.id, embeddings.distance(BOOK.embedding, VECTOR)).order_by("id")
    ),
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
    "encryption.find": _found(LIB.Reader, LIB.Reader.email, email(3).lower()),
    "encryption.find, by its beginning": _found(annex.Member, annex.Member.name, starts_with="ann"),
    "encryption.blind_index": rows(
        sa.select(sa.func.count(encryption.blind_index(LIB.Reader.email).distinct()))
    ),
    "encryption.verify": on_connection(encryption.verify, annex.Member.name),
    "encryption.key_usage": on_connection(encryption.key_usage, LIB.Reader.email),
    "partitions.status": _standing,
    "partitions.plan": on_connection(partitions.plan, LIB.metadata, now=LATER),
    "partitions.partitions_touched": on_connection(
        partitions.partitions_touched, sa.select(LIB.Loan.id)
    ),
    "partitions.partitions_touched, and run": on_connection(
        partitions.partitions_touched, sa.select(LIB.Loan.id), analyze=True
    ),
    "partitions.assert_pruned": _pruned,
    "partitions.plan_conversion": on_idle_connection(partitions.plan_conversion, annex.Journey),
    "partitions.managed_by_partman": on_connection(partitions.managed_by_partman),
    "soft_delete: live rows": rows(NEW_BOOKS),
    "soft_delete: the view of live rows": rows(sa.text("SELECT * FROM story_live ORDER BY id")),
    "soft_delete.alive": rows(sa.select(BOOK.id).where(soft_delete.alive(BOOK)).order_by("id")),
    "soft_delete.with_deleted": rows(soft_delete.with_deleted(NEW_BOOKS)),
    "soft_delete.only_deleted": rows(soft_delete.only_deleted(NEW_BOOKS)),
    "soft_delete.audit": on_connection(soft_delete.audit, BOOK),
}
"""By the public name that reads; what follows a comma tells two ways of one from each other."""

OF_THE_OWNER = {"partitions.plan_conversion"}
"""It is for who may convert."""

NO_READS = {
    "writes": {
        *("embeddings.backfill", "embeddings.build_index", "embeddings.bulk_copy"),
        *("embeddings.retry_failed", "embeddings.switch"),
        *("encryption.adopt", "encryption.rekey", "encryption.rotate"),
        *("partitions.adopt", "partitions.convert", "partitions.drain_default"),
        *("partitions.finish_conversion", "partitions.maintain", "partitions.undo_conversion"),
        *("partitions.schedule_premake", "partitions.unschedule_premake"),
        *("search.backfill", "search.roll_up"),
        *("soft_delete.delete", "soft_delete.hard_delete", "soft_delete.on_conflict_live"),
        *("soft_delete.purge", "soft_delete.restore"),
    },
    "declares": {
        *("embeddings.Embedding", "encryption.EncryptedColumn", "search.SearchVector"),
        *("soft_delete.index_live", "soft_delete.unique_live"),
    },
    "asks no server": {
        *("embeddings.next_version", "embeddings.split_text"),
        *("encryption.binary_results", "encryption.expected_matches"),
        "partitions.read_archive",  # of files
    },
}
"""The functions of the rooms that READS has not, by the reason."""
