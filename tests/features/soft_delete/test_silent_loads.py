"""
Relationships that may not be loaded by accident, and those that lead to no primary key.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from pgultra import SoftDelete

pytestmark = pytest.mark.filterwarnings("ignore:class Article .table article.. the values of slug")


def models(**options: Any) -> tuple[Any, Any]:
    """
    Give articles, and comments that name their article by its slug.
    """

    class Base(DeclarativeBase):
        pass

    class Article(SoftDelete, Base):
        __tablename__ = "article"

        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str] = mapped_column(unique=True)
        comments = relationship("Comment", back_populates="article")

    class Comment(Base):
        __tablename__ = "comment"

        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str | None] = mapped_column(sa.ForeignKey("article.slug"))
        article = relationship("Article", back_populates="comments", **options)

    return Article, Comment


def filled(engine: sa.Engine, article: Any, comment: Any) -> None:
    """
    One article with two comments.
    """
    article.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(article(id=1, slug="a"))
        session.flush()
        session.add_all([comment(id=1, slug="a"), comment(id=2, slug="a")])
        session.commit()


def slugs(engine: sa.Engine, comment: Any) -> list[str | None]:
    """
    What the comments refer to, in the table.
    """
    with engine.connect() as connection:
        table = comment.__table__
        return list(connection.scalars(sa.select(table.c.slug).order_by(table.c.id)))


@pytest.mark.parametrize("lazy", ["raise", "raise_on_sql", "select"])
def test_none_is_assigned_where_loads_raise(engine: sa.Engine, lazy: str) -> None:
    """
    The question whether it is None already is ours, and no accident of the host's.
    """
    article, comment = models(lazy=lazy)
    filled(engine, article, comment)
    with Session(engine) as session:
        first, second = session.scalars(sa.select(comment).order_by(comment.id))
        first.article = None
        session.commit()
        session.refresh(second)
        session.delete(session.get_one(article, 1))
        session.commit()
        kept = session.scalars(
            sa.select(comment).where(comment.id == 2).options(joinedload(comment.article))
        ).one()
        assert kept.article is None
        session.expunge_all()
        session.merge(kept)
        session.commit()
    assert slugs(engine, comment) == [None, "a"]


def test_taken_out_of_a_collection(engine: sa.Engine) -> None:
    """
    The other side is emptied by the collection, without having been loaded.
    """
    article, comment = models()
    filled(engine, article, comment)
    with Session(engine) as session:
        parent = session.get_one(article, 1)
        first, _ = sorted(parent.comments, key=lambda each: each.id)
        session.expire(first, ["article", "slug"])
        parent.comments.remove(first)
        session.commit()
    assert slugs(engine, comment) == [None, "a"]
