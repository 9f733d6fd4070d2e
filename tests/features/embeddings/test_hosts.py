from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    mapped_column,
    registry,
    relationship,
)

from pgultra import plan
from pgultra.features.embeddings import (
    Embedding,
    EmbeddingWorker,
    VectorType,
    Worked,
    backfill,
    build_index,
    bulk_copy,
    nearest,
    nearest_parents,
    queue_status,
    recall,
    rerank,
    retry_failed,
    similarity,
    within,
)
from tests.features.embeddings.counting import Length, at_once
from tests.features.embeddings.counting import fill as fill_articles
from tests.features.embeddings.sample import BLOG, Article
from tests.features.embeddings.sample import Base as Sample

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


def dataclasses() -> tuple[sa.MetaData, Any, Any]:
    """
    A dataclass base: the type instead of the shorthand.
    """

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"

        id: Mapped[int] = mapped_column(primary_key=True)
        embedding: Mapped[Vector | None] = mapped_column(VectorType(3, metric="l2"), init=False)

    return Base.metadata, Note, Note


def imperative() -> tuple[sa.MetaData, Any, Any]:
    """
    A class and a table that meet later, with other names for the attributes.
    """
    mapping = registry()

    class Note:
        pass

    table = sa.Table(
        "note",
        mapping.metadata,
        sa.Column("note_id", sa.Integer, primary_key=True),
        sa.Column("emb", VectorType(3, metric="l2")),
    )
    properties = {"id": table.c.note_id, "embedding": table.c.emb}
    mapping.map_imperatively(Note, table, properties=properties)
    return mapping.metadata, Note, Note


def abstract() -> tuple[sa.MetaData, Any, Any]:
    """
    The column stands on an abstract base.
    """

    class Base(DeclarativeBase):
        pass

    class Searchable(Base):
        __abstract__ = True

        id: Mapped[int] = mapped_column(primary_key=True)
        embedding: Mapped[Vector | None] = Embedding(3, metric="l2")

    class Note(Searchable):
        __tablename__ = "note"

    return Base.metadata, Note, Note


def joined(*, on_the_child: bool) -> tuple[sa.MetaData, Any, Any]:
    """
    Two tables for one class, and the vectors in either of them.
    """

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}  # noqa: RUF012  # as SQLAlchemy has it

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        if not on_the_child:
            embedding: Mapped[Vector | None] = Embedding(3, metric="l2")

    class Note(Thing):
        __tablename__ = "note"
        __mapper_args__ = {"polymorphic_identity": "note"}  # noqa: RUF012  # as SQLAlchemy has it

        id: Mapped[int] = mapped_column(sa.ForeignKey(Thing.id), primary_key=True)
        if on_the_child:
            embedding: Mapped[Vector | None] = Embedding(3, metric="l2")

    return Base.metadata, Note, Note


def single() -> tuple[sa.MetaData, Any, Any]:
    """
    One table for two classes; the other class's rows are nearer and do not come.
    """

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}  # noqa: RUF012  # as SQLAlchemy has it

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        embedding: Mapped[Vector | None] = Embedding(3, metric="l2")

    class Note(Thing):
        __mapper_args__ = {"polymorphic_identity": "note"}  # noqa: RUF012  # as SQLAlchemy has it

    return Base.metadata, Note, Thing


HOSTS: dict[str, Any] = {
    "dataclasses": dataclasses,
    "imperative": imperative,
    "abstract": abstract,
    "joined, on the child": lambda: joined(on_the_child=True),
    "joined, on the parent": lambda: joined(on_the_child=False),
    "single table": single,
}


@pytest.mark.parametrize("way", ["auto", "index", "exact"])
@pytest.mark.parametrize("host", HOSTS)
def test_every_kind_of_host(connection: sa.Connection, host: str, way: Any) -> None:
    """
    The table has its index, and nearest gives whole entities in order, by class and by alias.
    """
    metadata, note, other = HOSTS[host]()
    metadata.create_all(connection)
    assert not plan.check(connection, metadata)
    with Session(connection) as session:
        for n in range(1, 9):
            one = note(id=n) if host == "dataclasses" else note()
            one.id, one.embedding = n, [n, 0, 0]
            session.add(one)
        if other is not note:
            session.add(other(id=100, embedding=[4, 0, 0.1]))
        session.flush()
        session.expunge_all()
        for which in (note, aliased(note)):
            statement = nearest(sa.select(which), which.embedding, [4.2, 0, 0], 3, plan=way)
            found = session.execute(statement).all()
            assert [type(each) for each, _ in found] == [note] * 3
            assert [each.id for each, _ in found] == [4, 5, 3]
            assert [distance for _, distance in found] == pytest.approx([0.2, 0.8, 1.2])


def test_sqlalchemys_own_ways_around_it(connection: sa.Connection) -> None:
    """
    Joins, loader options, FOR UPDATE, and nearest as a subquery of something else.
    """

    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = "author"

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Note(Base):
        __tablename__ = "note"

        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(sa.ForeignKey(Author.id))
        author: Mapped[Author] = relationship()
        embedding: Mapped[Vector | None] = Embedding(3, metric="l2")

    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(Author(id=n, name=f"author {n}") for n in range(2))
        session.add_all(Note(id=n, author_id=n % 2, embedding=[n, 0, 0]) for n in range(10))
        session.flush()
        odd = sa.select(Note).join(Note.author).where(Author.name == "author 1")
        eager = odd.options(sa.orm.joinedload(Note.author)).with_for_update(of=Note)
        found = session.execute(nearest(eager, Note.embedding, [4, 0, 0], 3)).all()
        assert [note.id for note, _ in found] == [3, 5, 1]
        assert {note.author.name for note, _ in found} == {"author 1"}
        inner = nearest(odd, Note.embedding, [4, 0, 0], 3).subquery()
        names = sa.select(Author.name, sa.func.max(inner.c.distance)).join(
            inner, inner.c.author_id == Author.id
        )
        assert session.execute(names.group_by(Author.name)).all() == [("author 1", 3.0)]


def test_collections_are_loaded_with_a_page_of_it(connection: sa.Connection) -> None:
    """
    A joined collection under a LIMIT makes SQLAlchemy wrap the statement, order and all.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"

        id: Mapped[int] = mapped_column(primary_key=True)
        embedding: Mapped[Vector | None] = Embedding(3, metric="l2")
        remarks: Mapped[list[Remark]] = relationship()

    class Remark(Base):
        __tablename__ = "remark"

        id: Mapped[int] = mapped_column(primary_key=True)
        note_id: Mapped[int] = mapped_column(sa.ForeignKey(Note.id))

    Base.metadata.create_all(connection)
    with Session(connection) as session:
        for n in range(10):
            session.add(Note(id=n, embedding=[n, 0, 0], remarks=[Remark(), Remark()]))
        session.flush()
        eager = sa.select(Note).options(sa.orm.joinedload(Note.remarks))
        page = nearest(eager, Note.embedding, [4.4, 0, 0], 5).limit(2).offset(1)
        found = session.execute(page).unique().all()
        assert [(note.id, len(note.remarks)) for note, _ in found] == [(5, 2), (3, 2)]


def test_centroids_are_plain_aggregates(connection: sa.Connection) -> None:
    """
    The mean of a group is a vector, to be read and to be looked for.
    """
    Sample.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(
            Article(id=n, title="t", language="en" if n % 2 else "de", embedding=[1, n, 0])
            for n in range(6)
        )
        session.flush()
        mean = sa.func.avg(Article.embedding, type_=Article.embedding.type)
        means = sa.select(Article.language, mean).group_by(Article.language)
        assert {row[0]: row[1].to_list() for row in session.execute(means)} == {
            "de": [1, 2, 0],
            "en": [1, 3, 0],
        }
        german = sa.select(mean).where(Article.language == "de").scalar_subquery()
        assert session.execute(nearest(Article, Article.embedding, german, 1)).one()[0].id == 2


async def test_everything_on_asyncpg(engine: sa.Engine, database: Database) -> None:
    """
    What the other tests call on psycopg alone.
    """
    Sample.metadata.create_all(engine)
    chunk = BLOG.Chunk.embedding
    fill_articles(engine, 6)
    other = database.async_engine()
    embedder = Length()
    embedder.broken = {"title 3\n\nxxx"}
    worker = EmbeddingWorker(other, embedder, Article.embedding, wait=at_once, most_attempts=1)
    assert (await worker.work_async()).failed
    async with other.begin() as connection:
        assert (await queue_status(connection, Article.embedding)).failed
        assert await retry_failed(connection, Article.embedding)
    embedder.broken = set()
    await worker.work_async()
    async with other.begin() as connection:
        assert (await queue_status(connection, Article.embedding)).done
        assert await backfill(connection, Article.embedding, everything=True, dry_run=True) == 6
        assert await build_index(connection, Article.embedding) == "article_embedding_hnsw"
        assert await recall(connection, Article.embedding, 3, k=2) == 1.0
        rows = [{"id": n, "title": "b", "embedding": [n - 99, 0, -5]} for n in range(100, 103)]
        assert await bulk_copy(connection, Article, rows) == 3
        near = sa.select(Article.id).where(within(Article.embedding, [1, 0, -5], 1e-3))
        assert (await connection.execute(near)).scalars().all() == [100]
        alike = sa.select(similarity(Article.embedding, [1, 0, -5])).where(Article.id == 100)
        assert await connection.scalar(alike) == pytest.approx(1)
        ranked = rerank(sa.select(Article.id), Article.embedding, [1, 0, -5], 2)
        assert (await connection.execute(ranked)).scalars().all() == [100, 101]
        parents = nearest_parents(sa.select(Article.id), chunk, [1, 1, 1], 2)
        assert (await connection.execute(parents)).scalars().all() == []
    chunker = EmbeddingWorker(other, Length(), chunk)
    async with other.begin() as connection:
        await backfill(connection, chunk)
    done = await chunker.work_async()
    assert isinstance(done, Worked)
    assert done.split >= 6
    async with other.connect() as connection:
        assert len((await connection.execute(parents)).all()) == 2
