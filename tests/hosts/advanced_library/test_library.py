from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from advanced_alchemy.exceptions import NotFoundError
from advanced_alchemy.filters import LimitOffset, OrderBy, SearchFilter

from pgultra import EncryptionError, embeddings, search, soft_delete

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from tests.hosts.stage import Host

# Version 1.10 has new words for `list` and the like, which versions for SQLAlchemy 2.0.40 lack.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated")

AUSTEN, EMMA = UUID(int=1), UUID(int=0x11)


@pytest.fixture
def models(host: Host) -> Any:
    """
    The library's models.
    """
    return host.module("models")


@pytest.fixture
def services(host: Host) -> Any:
    """
    Its repositories and services.
    """
    return host.module("services")


@pytest_asyncio.fixture
async def session(host: Host) -> AsyncIterator[AsyncSession]:
    """
    A session of advanced-alchemy's own making; what a test does not commit is gone after it.
    """
    from advanced_alchemy.config import SQLAlchemyAsyncConfig

    url = host.url.render_as_string(hide_password=False)
    config = SQLAlchemyAsyncConfig(connection_string=url)
    async with config.get_session() as session:
        yield session
        await session.rollback()
    await config.get_engine().dispose()


@pytest.mark.slow
async def test_a_service_deletes_softly(session: AsyncSession, models: Any, services: Any) -> None:
    """
    ``service.delete`` takes the books along; ``list_and_count`` and ``get`` see live rows only.
    """
    authors = services.AuthorService(session=session)
    books = services.BookRepository(session=session)
    found, count = await books.list_and_count(LimitOffset(limit=1, offset=0))
    assert (len(found), count) == (1, 2)
    austen = await authors.delete(AUSTEN)
    assert await books.count() == 0
    with pytest.raises(NotFoundError):
        await authors.get(AUSTEN)
    kept = sa.text("SELECT count(*) FROM book WHERE deleted_at IS NOT NULL")
    assert await session.scalar(kept) == 2
    assert len(await soft_delete.restore(session, austen)) == 3
    assert await books.count() == 2


async def test_repositories_delete_many(session: AsyncSession, services: Any) -> None:
    """
    ``delete_many`` and ``delete_where`` are bulk statements, and mark as well.
    """
    books = services.BookRepository(session=session)
    await books.delete_many([EMMA])
    assert [book.title for book in await books.list()] == ["Persuasion"]
    await books.delete_where(isbn="2")
    assert await books.list() == []
    assert await session.scalar(sa.text("SELECT count(*) FROM book")) == 2


async def test_books_are_found_by_words(session: AsyncSession, models: Any, services: Any) -> None:
    """
    An expression of ours is a filter of a repository.
    """
    books = services.BookRepository(session=session)
    assert [
        each.title for each in await books.list(search.match(models.Book.words, "letters"))
    ] == ["Persuasion"]


@pytest.mark.needs("vector")
async def test_books_are_found_by_meaning(
    session: AsyncSession, models: Any, services: Any, host: Host
) -> None:
    """
    The worker runs on an AsyncEngine, and a repository takes the statement of `nearest`.
    """
    engine = host.database.async_engine()
    await embeddings.EmbeddingWorker(engine, models.EMBEDDER, models.Book.embedding).work_async()
    await engine.dispose()
    (vector,) = models.EMBEDDER.embed(["Emma\nA match is made."])
    near = embeddings.nearest(sa.select(models.Book), models.Book.embedding, vector, k=1)
    assert [book.title for book, _ in (await session.execute(near)).unique()] == ["Emma"]


async def test_readers(session: AsyncSession, models: Any, services: Any) -> None:
    """
    Created, found, updated and upserted by the service, by an address that is sealed.
    """
    readers = services.ReaderService(session=session)
    bob = await readers.create({"name": "Bob", "email": "Bob@x.org"})
    assert (await readers.get_one(models.Reader.email == "bob@X.ORG")).id == bob.id
    await readers.update({"email": "b@x.org"}, item_id=bob.id)
    assert await readers.get_one_or_none(models.Reader.email == "bob@x.org") is None
    await readers.upsert({"name": "Ann", "email": "ann@x.org"}, match_fields=["name"])
    assert await readers.count() == 2
    assert (await readers.get_one(models.Reader.email == "ann@x.org")).name == "Ann"
    stored = await session.scalars(sa.text("SELECT email FROM reader"))
    assert all(b"x.org" not in bytes(value) for value in stored)


async def test_filters_that_cannot_work(session: AsyncSession, models: Any, services: Any) -> None:
    """
    A pattern or an order of ciphertexts is refused with the reason.
    """
    readers = services.ReaderService(session=session)
    with pytest.raises(EncryptionError, match=r"no pattern|sees a ciphertext"):
        await readers.get_one_or_none(SearchFilter("email", "x"))
    with pytest.raises(EncryptionError, match=r"sort at random|ORDER BY"):
        await readers.list(OrderBy("email"))


async def test_loans(session: AsyncSession, models: Any, services: Any) -> None:
    """
    A repository of a divided table, whose primary key has two columns.
    """
    loans = services.LoanRepository(session=session)
    await loans.add(models.Loan(reader_id=1, book_id=EMMA))
    assert (await loans.get((1, EMMA))).since.tzinfo is not None
    home = await session.scalar(sa.text("SELECT tableoid::regclass::text FROM loan"))
    assert home.startswith("loan_h")
