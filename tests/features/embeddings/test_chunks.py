from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from pgultra import DeclarationError
from pgultra.features.embeddings import Embedding, bulk_copy, nearest_parents, split_text

pytestmark = pytest.mark.needs("vector")


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    language: Mapped[str]


class Page(Base):
    __tablename__ = "page"

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(sa.ForeignKey(Book.id), index=True)
    text: Mapped[str]
    embedding: Mapped[Vector | None] = Embedding(8, metric="l2", source="text")


BOOKS, PAGES = 120, 20


def fill(session: Session) -> np.ndarray[Any, Any]:
    """
    Books whose pages lie near each other, so that the nearest pages are of few books.
    """
    Base.metadata.create_all(session.connection())
    random = np.random.default_rng(3)
    centres = random.normal(size=(BOOKS, 1, 8))
    vectors = (centres + 0.2 * random.normal(size=(BOOKS, PAGES, 8))).astype("f4")
    session.add_all(Book(id=n, language="en" if n % 3 else "de") for n in range(BOOKS))
    session.flush()
    bulk_copy(
        session.connection(),
        Page,
        [
            {"id": b * PAGES + p, "book_id": b, "text": "x", "embedding": vectors[b, p]}
            for b in range(BOOKS)
            for p in range(PAGES)
        ],
    )
    return vectors


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["auto", "index", "exact"])
@pytest.mark.parametrize("k", [1, 10, 110, 200])
def test_parents_come_by_their_nearest_chunk(connection: sa.Connection, plan: Any, k: int) -> None:
    """
    Each once, k of them whenever k match, with filters on the parent.
    """
    with Session(connection) as session:
        vectors = fill(session)
        one = vectors[7, 3]
        away = np.linalg.norm(vectors - one, axis=2).min(axis=1)
        other = aliased(Book)
        for statement, keep in (
            (sa.select(Book), range(BOOKS)),
            (sa.select(Book).where(Book.language == "en"), [n for n in range(BOOKS) if n % 3]),
            (sa.select(other).where(other.language == "de"), range(0, BOOKS, 3)),
        ):
            found = session.execute(
                nearest_parents(statement, Page.embedding, one, k, plan=plan, exact_below=50)
            ).all()
            wanted = sorted(keep, key=lambda n: away[n])[:k]
            assert len(found) == len(wanted) == len({book.id for book, _ in found})
            given_ = [distance for _, distance in found]
            assert given_ == sorted(given_)
            if plan == "exact":
                assert [book.id for book, _ in found] == wanted
            assert given_ == pytest.approx([away[book.id] for book, _ in found], abs=1e-5)
            assert len({book.id for book, _ in found} & set(wanted)) >= 0.8 * len(wanted)


def test_one_foreign_key_is_needed() -> None:
    """
    From the chunk table to what the statement selects from.
    """
    with pytest.raises(DeclarationError, match="one foreign key"):
        nearest_parents(sa.select(Page), Page.embedding, [1] * 8)


@given(st.text(max_size=400), st.integers(1, 60), st.integers(0, 59))
def test_any_text_is_split(text: str, size: int, overlap: int) -> None:
    """
    No chunk is longer than asked, and no letter is lost.
    """
    if overlap >= size:
        with pytest.raises(DeclarationError, match="less than"):
            split_text(text, size, overlap)
        return
    chunks = split_text(text, size, overlap)
    assert all(0 < len(chunk) <= size for chunk in chunks)
    if overlap == 0:
        assert "".join("".join(chunks).split()) == "".join(text.split())
