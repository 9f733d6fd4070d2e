"""
What the application declares: three tables that are soft-deleted together, a view, and a
search by words, by meaning and by both.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, MetaData, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from embedder import DIMENSIONS
from pgultra import (
    Embedding,
    SearchVector,
    SoftDelete,
    TSVector,
    Vector,
    View,
    declare,
    soft_delete,
)


class Base(DeclarativeBase):
    """
    The application's name is in the mark of all that it makes.
    """

    metadata = MetaData(info={"pgultra.app": "stdlib_search"})


class Module(SoftDelete, Base):
    """
    A file of the standard library.
    """

    __tablename__ = "module"
    # Unique among live rows: a deleted module's name may be taken again.
    __table_args__ = (soft_delete.unique_live("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    path: Mapped[str]
    # The ORM's own word for "these go along" is all that the cascade needs.
    articles: Mapped[list[Article]] = relationship(back_populates="module", cascade="all")


class Article(SoftDelete, Base):
    """
    A docstring.
    """

    __tablename__ = "article"
    __table_args__ = (soft_delete.unique_live("name"),)
    # Makes the view article_live, for whoever writes raw SQL.
    __soft_delete__ = soft_delete.SoftDeleteOptions(view=True)

    id: Mapped[int] = mapped_column(primary_key=True)
    module_id: Mapped[int] = mapped_column(ForeignKey("module.id"), index=True)
    name: Mapped[str] = mapped_column()
    kind: Mapped[str]
    line: Mapped[int]
    body: Mapped[str]
    # What can be searched: the name's words count most, and the words of docstrings are
    # kept for corrections. The database maintains it, with its GIN index.
    search: Mapped[TSVector] = SearchVector(
        {func.translate(name, "._", "  "): "A", "body": "B"}, config="english", vocabulary=["body"]
    )
    # Eight thousand vectors are compared one by one in milliseconds: they need no index.
    embedding: Mapped[Vector | None] = Embedding(DIMENSIONS, index=None)
    module: Mapped[Module] = relationship(back_populates="articles")
    comments: Mapped[list[Comment]] = relationship(back_populates="article", cascade="all")


class Comment(SoftDelete, Base):
    """
    A comment in the code that an article documents.
    """

    __tablename__ = "comment"

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"), index=True)
    line: Mapped[int]
    body: Mapped[str]
    article: Mapped[Article] = relationship(back_populates="comments")


# A view is declared beside the models, and migrated with them.
declare(
    Base,
    View(
        name="shelf",
        query=select(
            Module.name,
            func.count(Article.id).label("articles"),
            func.sum(func.length(Article.body)).label("characters"),
        )
        .join(Module.articles)
        .where(soft_delete.alive(Module), soft_delete.alive(Article))
        .group_by(Module.name),
    ),
)
