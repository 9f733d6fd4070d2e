"""
``nearest`` over joins: k counts rows of the vector's table, however often a join gives them.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra.features.embeddings import Embedding, nearest
from pgultra.features.embeddings.nearest import PLANS

MANY = 60


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int]
    single: Mapped[Vector | None] = Embedding(3, metric="l2")
    in_half: Mapped[Vector | None] = Embedding(3, metric="l2", precision="half")


class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id))
    name: Mapped[str]


@pytest.fixture
def session(connection: sa.Connection) -> Session:
    """
    Articles in a row; number n has the tags of the first n % 7 letters.
    """
    Base.metadata.create_all(connection)
    session = Session(connection)
    vectors: list[dict[str, Any]] = [
        {"id": n, "author_id": n % 5, "single": [n, 0, 0], "in_half": [n, 0, 0]}
        for n in range(MANY)
    ]
    session.execute(sa.insert(Article), vectors)
    tags = [{"article_id": n, "name": name} for n in range(MANY) for name in "abcdefg"[: n % 7]]
    session.execute(sa.insert(Tag), tags)
    session.execute(sa.text("ANALYZE"))
    return session


@pytest.mark.parametrize("precision", ["single", "in_half"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("below", [0, None])
def test_a_row_with_many_others_counts_once(
    session: Session, plan: Any, precision: str, below: int | None
) -> None:
    """The k nearest that have a match, each with all of its matches, and nothing twice."""
    column = getattr(Article, precision)
    for times in range(3):  # the third is made from a pattern
        at, k = times * 10 + 0.1, 3 + times
        tagged = [n for n in range(MANY) if n % 7]
        expected = sorted(tagged, key=lambda n: abs(n - at))[:k]
        joined = sa.select(Article.id, Tag.name).join(Tag, Tag.article_id == Article.id)
        statement = nearest(joined, column, [at, 0, 0], k, plan=plan, exact_below=below)
        rows = [(row[0], row[1]) for row in session.execute(statement)]
        assert list(dict.fromkeys(number for number, _ in rows)) == expected
        assert sorted(rows) == sorted((n, name) for n in expected for name in "abcdefg"[: n % 7])


@pytest.mark.parametrize("plan", PLANS)
def test_forms_of_a_join(session: Session, plan: Any) -> None:
    """Written with a join, as two tables, or as one FROM: the same articles."""
    same = Tag.article_id == Article.id
    forms = (
        sa.select(Article).join(Tag, same),
        sa.select(Article).where(same),
        sa.select(Article).select_from(sa.join(Article, Tag, same)),
        sa.select(Article).where(sa.exists().where(same)),
    )
    for form in forms:
        found = session.execute(nearest(form, Article.single, [0, 0, 0], 8, plan=plan)).unique()
        assert [row[0].id for row in found] == [1, 2, 3, 4, 5, 6, 8, 9]
