"""
Uses of the embeddings room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    Select,
    Table,
    select,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
)

from pgultra import HNSW, Embedding, IVFFlat, PgultraError, Vector, declare, embeddings
from pgultra.features.embeddings import (
    Chunks,
    Embedder,
    EmbeddingWorker,
    HashingEmbedder,
    InvalidVector,
    NextVersion,
    OpenAIEmbedder,
    QueueStatus,
    Rules,
    SentenceTransformerEmbedder,
    VectorType,
    Worked,
    backfill,
    build_index,
    bulk_copy,
    nearest,
    nearest_parents,
    next_version,
    queue_status,
    recall,
    rerank,
    retry_failed,
    similarity,
    split_text,
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


REFUSED: tuple[type[PgultraError], type[ValueError]] = (InvalidVector, InvalidVector)
COLUMN = Column("embedding", VectorType(3))
NUMBER = Column("id", Integer)
TABLE = Table("note_chunk", MetaData(), NUMBER, COLUMN)


def columns(article: Article) -> None:
    """
    What the class and an instance give.
    """
    assert_type(Article.embedding, InstrumentedAttribute[Vector | None])
    assert_type(article.embedding, Vector | None)
    assert_type(Note(id=1).embedding, Vector | None)


def declarations() -> None:
    """
    What a table or a column may say, and the pieces of a text.
    """
    Embedding(
        3, index=IVFFlat(metric="l2", lists=100), next_version=NextVersion(dimensions=4, model="n")
    )
    declare(TABLE, Rules("embedding", source=("title",)))
    declare(
        TABLE,
        Chunks(source=Article.title, text="text", size=500, split=str.splitlines, version="1"),
    )
    assert_type(split_text("a text", size=500, overlap=50), list[str])
    assert_type(next_version(Article.embedding), Column[Any])
    IVFFlat(lists="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NextVersion(dimensions=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Chunks(source=Article.title, text="text", split=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    split_text(["a text"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Embedding(3, index="hnsw")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def embedders() -> None:
    """
    What has a model, its dimensions and ``embed`` is an embedder.
    """

    class Mute:
        model = "m"
        dimensions = 3

    remote = OpenAIEmbedder("text-embedding-3-small", 256, shorten=True)
    assert_type(remote.embed(["a text"]), list[list[float]])
    local: Embedder = SentenceTransformerEmbedder("all-MiniLM-L6-v2")
    several: tuple[Embedder, ...] = (remote, local, HashingEmbedder(384))
    assert_type(several[0].dimensions, int)
    mute: Embedder = Mute()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    mute.embed(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    OpenAIEmbedder("text-embedding-3-small", "256")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


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
    assert_type(embeddings.distance(Article.embedding, vector), ColumnElement[float])


def work(engine: Engine, connection: Connection) -> None:
    """
    What does I/O, sync.
    """
    worker = EmbeddingWorker(engine, HashingEmbedder(384), Article.embedding)
    assert_type(worker.work(), Worked)
    assert_type(queue_status(connection, Article.embedding), QueueStatus)
    assert_type(backfill(connection, Article.embedding), int)
    assert_type(retry_failed(connection, Article.embedding), int)
    assert_type(build_index(connection, Article.embedding), str | None)
    retry_failed(engine, Article.embedding)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert_type(recall(connection, Article.embedding, 50), float)
    assert_type(switch(connection, Article.embedding), int)
    assert_type(bulk_copy(connection, Article, [{"id": 1}], progress=print), int)


async def work_async(connection: AsyncConnection) -> None:
    """
    The same, awaited.
    """
    assert_type(await queue_status(connection, Article.embedding), QueueStatus)
    assert_type(await recall(connection, Article.embedding), float)
    assert_type(await build_index(connection, Article.embedding), str | None)
    assert_type(await OpenAIEmbedder().embed_async(["a text"]), list[list[float]])
    assert_type(await bulk_copy(connection, Article, [{"id": 1}]), int)
