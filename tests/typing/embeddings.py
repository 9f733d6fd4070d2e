"""
Uses of the embeddings room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from sqlalchemy import Column, ColumnElement, Connection, Engine, Integer, Select, select
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
)

from pgultra import HNSW, Embedding, Vector, embeddings
from pgultra.features.embeddings import (
    EmbeddingWorker,
    HashingEmbedder,
    QueueStatus,
    VectorType,
    Worked,
    backfill,
    bulk_copy,
    nearest,
    nearest_parents,
    queue_status,
    recall,
    rerank,
    similarity,
    switch,
    within,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


class Article(Base):
    """
    Every option of a column.
    """

    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column()
    embedding: Mapped[Vector | None] = Embedding(
        384, index=HNSW(metric="cosine"), precision="half", source=("title",), model="m"
    )


class Data(MappedAsDataclass, DeclarativeBase):
    """
    A dataclass base.
    """


class Note(Data):
    """
    The type instead of the shorthand.
    """

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Vector | None] = mapped_column(VectorType(3), init=False)


COLUMN = Column("embedding", VectorType(3))
NUMBER = Column("id", Integer)


def columns(article: Article) -> None:
    """
    What the class and an instance give.
    """
    assert_type(Article.embedding, InstrumentedAttribute[Vector | None])
    assert_type(article.embedding, Vector | None)
    assert_type(Note(id=1).embedding, Vector | None)


def statements(session: Session, vector: list[float]) -> None:
    """
    A class and a select of it give rows of the class and a number.
    """
    by_class = nearest(Article, Article.embedding, vector)
    assert_type(by_class, Select[Article, float])
    english = select(Article).where(Article.title == "t")
    by_select = embeddings.nearest(english, Article.embedding, vector, k=5, plan="index")
    assert_type(by_select, Select[Article, float])
    for article, distance in session.execute(by_select).tuples():
        assert_type(article, Article)
        assert_type(distance, float)
    titles = nearest(select(Article.title), Article.embedding, vector, effort=100)
    assert_type(titles, Select[str, float])
    nearest(Article, Article.embedding, vector, plan="best")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    parents: Select[Any] = nearest_parents(Article, COLUMN, vector)
    ranked: Select[Any] = rerank(english, Article.embedding, vector, 3)
    session.execute(parents.union_all(ranked))


def expressions(vector: list[float]) -> None:
    """
    What can stand in a WHERE or among the columns.
    """
    assert_type(within(Article.embedding, vector, 0.2), ColumnElement[bool])
    assert_type(similarity(Article.embedding, vector), ColumnElement[float])


def work(engine: Engine, connection: Connection) -> None:
    """
    What does I/O, sync.
    """
    worker = EmbeddingWorker(engine, HashingEmbedder(384), Article.embedding)
    assert_type(worker.work(), Worked)
    assert_type(queue_status(connection, Article.embedding), QueueStatus)
    assert_type(backfill(connection, Article.embedding), int)
    assert_type(recall(connection, Article.embedding, 50), float)
    assert_type(switch(connection, Article.embedding), int)
    assert_type(bulk_copy(connection, Article, [{"id": 1}], progress=print), int)


async def work_async(connection: AsyncConnection) -> None:
    """
    The same, awaited.
    """
    assert_type(await queue_status(connection, Article.embedding), QueueStatus)
    assert_type(await recall(connection, Article.embedding), float)
    assert_type(await bulk_copy(connection, Article, [{"id": 1}]), int)
