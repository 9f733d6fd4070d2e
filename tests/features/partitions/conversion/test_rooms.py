"""
Models that use every room, converted: what the other rooms keep in the table goes on working.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import SoftDelete, declare, plan
from pgultra.features import embeddings, encryption, search, soft_delete
from pgultra.features.embeddings import (
    HNSW,
    Embedding,
    EmbeddingWorker,
    HashingEmbedder,
    NextVersion,
)
from pgultra.features.encryption import EncryptedColumn, Equality, KeyRing
from pgultra.features.partitions import (
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    undo_conversion,
)
from pgultra.features.search import SearchVector, TSVector

pytestmark = pytest.mark.needs("vector")

RING = KeyRing("rooms", {1: bytes(range(32))})
MOMENT = sa.DateTime(timezone=True)
AT = datetime(2026, 5, 5, tzinfo=UTC)
DIMENSIONS = 16


def models(*, divided: bool, source: bool = False, unique: bool = False) -> Any:
    """
    A letter: encrypted, searched by words and by meaning, deleted softly; divided, or not yet.
    """

    class Base(DeclarativeBase):
        pass

    parents: Any = (PartitionedTable, SoftDelete, Base) if divided else (SoftDelete, Base)
    given: Any = (
        {"source": ("subject",), "model": HashingEmbedder(DIMENSIONS).model} if source else {}
    )

    class Letter(*parents):  # type: ignore[misc]  # mypy takes no computed bases
        __tablename__ = "letter"
        if divided:
            __partition_by__ = ByRange("at", every="1 month")

        id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
        at: Mapped[datetime] = mapped_column(MOMENT, primary_key=divided, nullable=False)
        subject: Mapped[str]
        sender: Mapped[str] = EncryptedColumn(
            sa.String, keys=RING, search=Equality(normalize="casefold", unique=unique)
        )
        body: Mapped[str | None] = EncryptedColumn(sa.Text, keys=RING, context=("id",))
        words: Mapped[TSVector] = SearchVector({"subject": "A"}, config="english")
        embedding: Mapped[Vector | None] = Embedding(DIMENSIONS, index=HNSW(), **given)

    return Base, Letter


def write(engine: sa.Engine, letter: Any, number: int = 40) -> None:
    """
    Letters about cats and ships.
    """
    embedder = HashingEmbedder(DIMENSIONS)
    with Session(engine) as session, session.begin():
        for each in range(1, number + 1):
            subject = f"{'a cat' if each % 2 else 'some ships'} {each}"
            (vector,) = embedder.embed([subject])
            found = letter(
                id=each, at=AT, subject=subject, sender=f"User{each}@x", body=f"secret {each}"
            )
            found.embedding = vector
            session.add(found)


def judge(engine: sa.Engine, letter: Any) -> None:
    """
    Each room answers as before.
    """
    with Session(engine) as session, session.begin():
        found = session.scalars(sa.select(letter).where(letter.sender == "USER7@X")).one()
        assert (found.id, found.body) == (7, "secret 7")
        ships = sa.select(letter).where(search.match(letter.words, "ship"))
        assert len(session.scalars(ships).all()) == 20
        (vector,) = HashingEmbedder(DIMENSIONS).embed(["a cat 7"])
        (first, _), *_ = session.execute(
            embeddings.nearest(sa.select(letter), letter.embedding, vector, k=3)
        ).all()
        assert first.id == 7
        session.delete(found)
        session.flush()
        assert session.scalars(sa.select(letter).where(letter.id == 7)).all() == []
        soft_delete.restore(session, found)
        session.flush()
        assert session.scalars(sa.select(letter.subject).where(letter.id == 7)).one() == "a cat 7"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_every_room_answers_as_before(engine: sa.Engine, way: str) -> None:
    """
    Blind indexes, contexts, words, vectors and soft deletion: converted, and back.
    """
    before, letter = models(divided=False)
    before.metadata.create_all(engine)
    write(engine, letter)
    judge(engine, letter)
    after, divided = models(divided=True)
    with engine.connect() as connection:
        done = convert(connection, divided, way=way)
        assert done.rows == (40 if way == "copy" else 0)
        assert plan.check(connection, after.metadata).steps == ()
    judge(engine, divided)
    with engine.connect() as connection:
        assert sum(each.rows for each in encryption.key_usage(connection, divided.sender)) == 40
        connection.rollback()
        if way == "copy":
            undo_conversion(connection, divided)
            assert plan.check(connection, before.metadata).steps == ()
            connection.rollback()
            judge(engine, letter)
            convert(connection, divided)
        finish_conversion(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
    judge(engine, divided)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_a_unique_encrypted_column_gets_the_key(engine: sa.Engine, way: str) -> None:
    """
    A blind index cannot be unique without the key either; the room's own, with it, takes its place.
    """
    before, letter = models(divided=False, unique=True)
    before.metadata.create_all(engine)
    write(engine, letter)
    after, divided = models(divided=True, unique=True)
    with engine.connect() as connection:
        convert(connection, divided, way=way)
        assert plan.check(connection, after.metadata).steps == ()
        connection.rollback()
        if way == "copy":
            undo_conversion(connection, divided)
            assert plan.check(connection, before.metadata).steps == ()
            connection.rollback()
            convert(connection, divided)
        finish_conversion(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
    judge(engine, divided)
    twin = "INSERT INTO letter (at, subject, sender) SELECT at, 'twin', sender FROM letter LIMIT 1"
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match="sender"):
        connection.exec_driver_sql(twin)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_embeddings_with_a_source(engine: sa.Engine, way: str) -> None:
    """
    Their side table gets the key too: nothing is embedded twice, and what changes is stale.
    """
    before, letter = models(divided=False, source=True)
    before.metadata.create_all(engine)
    write(engine, letter)
    embedder = HashingEmbedder(DIMENSIONS)
    known = EmbeddingWorker(engine, embedder, letter.embedding)  # knows nothing of the key
    assert known.work().embedded == 40
    after, divided = models(divided=True, source=True)
    worker = EmbeddingWorker(engine, embedder, divided.embedding)

    def change(each: int) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE letter SET subject = 'a dog {each}' WHERE id = {each}"
            )
            connection.exec_driver_sql(
                "INSERT INTO letter (id, at, subject, sender) OVERRIDING SYSTEM VALUE"
                f" SELECT {100 + each}, at, 'a bird', sender FROM letter WHERE id = 1"
            )

    def announce(step: str) -> None:
        if step in {"exchange", "settle"}:
            change(len(step))
            assert known.work().embedded == 2

    with engine.connect() as connection:
        convert(connection, divided, way=way, announce=announce)
        assert plan.check(connection, after.metadata).steps == ()
    for number, each in enumerate((known, worker), 20):
        change(number)
        assert each.work().embedded == 2
    if way == "copy":
        with engine.connect() as connection:
            undo_conversion(connection, divided)
            assert plan.check(connection, before.metadata).steps == ()
            connection.rollback()
            change(30)
            assert known.work().embedded == 2
            convert(connection, divided)
    with engine.connect() as connection:
        finish_conversion(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
        connection.rollback()
        assert embeddings.backfill(connection, divided.embedding) == 0
        connection.commit()
        state = after.metadata.tables["letter_embedding_state"]
        key = sa.inspect(connection).get_pk_constraint(state.name)
        assert key["constrained_columns"] == ["key_0", "key_1"]
        both = "ON UPDATE CASCADE ON DELETE CASCADE"
        found = connection.exec_driver_sql(
            "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE "
            "conrelid = 'letter_embedding_state'::regclass AND contype = 'f' AND conparentid = 0"
        )
        assert [tuple(row) for row in found] == [
            (
                "letter_embedding_state_fkey",
                f"FOREIGN KEY (key_0, key_1) REFERENCES letter(id, at) {both}",
                True,
            )
        ]
    change(40)
    with engine.begin() as connection:  # a key that moves takes its state along
        connection.exec_driver_sql("UPDATE letter SET at = at + interval '50 days' WHERE id = 40")
    assert worker.work().embedded == 2
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL pgultra.hard_delete = 'on'")
        assert connection.exec_driver_sql("DELETE FROM letter").rowcount > 40
        assert connection.scalar(sa.select(sa.func.count()).select_from(state)) == 0


def long_texts(*, divided: bool) -> Any:
    """
    An article with a version that comes next, and its chunks.
    """

    class Base(DeclarativeBase):
        pass

    parents: Any = (PartitionedTable, Base) if divided else (Base,)

    class Article(*parents):  # type: ignore[misc]  # mypy takes no computed bases
        __tablename__ = "article"
        if divided:
            __partition_by__ = ByRange("at", every="1 month")

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(MOMENT, primary_key=divided, nullable=False)
        body: Mapped[str]
        embedding: Mapped[Vector | None] = Embedding(
            DIMENSIONS,
            source=("body",),
            model=HashingEmbedder(DIMENSIONS).model,
            next_version=NextVersion(dimensions=8, model=HashingEmbedder(8).model),
        )

    names = ("id", "at") if divided else ("id",)

    class Chunk(Base):
        __tablename__ = "chunk"
        __table_args__ = (
            sa.ForeignKeyConstraint(
                [f"article_{name}" for name in names],
                [Article.__table__.c[name] for name in names],
                ondelete="CASCADE",
            ),
        )

        article_id: Mapped[int] = mapped_column(primary_key=True)
        if divided:
            article_at: Mapped[datetime] = mapped_column(MOMENT)
        number: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]
        embedding: Mapped[Vector | None] = Embedding(DIMENSIONS, source="text")

    declare(
        Chunk,
        embeddings.Chunks(source="body", text="text", number="number", size=20, overlap=0),
    )
    return Base, Article, Chunk


@pytest.mark.slow
def test_chunks_and_versions(engine: sa.Engine) -> None:
    """
    The chunks of long texts, their side tables and those of the next version come along.
    """
    before, article, chunk = long_texts(divided=False)
    before.metadata.create_all(engine)
    embedder, later = HashingEmbedder(DIMENSIONS), HashingEmbedder(8)

    def work(article: Any, chunk: Any) -> list[int]:
        following = embeddings.next_version(article.embedding)
        columns = ((article.embedding, embedder), (following, later), (chunk.embedding, embedder))
        return [EmbeddingWorker(engine, by, column).work().embedded for column, by in columns]

    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO article SELECT n, '2026-05-05Z', 'one two three. four five six. ' || n"
            " FROM generate_series(1, 10) AS n"
        )
    assert work(article, chunk) == [10, 10, 20]
    after, divided, parts = long_texts(divided=True)
    with engine.connect() as connection:
        convert(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
    assert work(divided, parts) == [0, 0, 0]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE article SET body = 'seven eight. nine' WHERE id = 3")
    assert work(article, chunk) == [1, 1, 1]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE article SET body = 'ten. eleven' WHERE id = 4")
    assert work(divided, parts) == [1, 1, 1]
    with engine.connect() as connection:
        finish_conversion(connection, divided)
        assert plan.check(connection, after.metadata).steps == ()
    with Session(engine) as session, session.begin():
        (vector,) = embedder.embed(["ten. eleven"])
        found = embeddings.nearest_parents(sa.select(divided), parts.embedding, vector, k=1)
        assert session.execute(found).one()[0].id == 4
        (vector,) = later.embed(["ten. eleven"])
        following = embeddings.next_version(divided.embedding)
        near = embeddings.nearest(sa.select(divided), following, vector, k=1)
        assert session.execute(near).one()[0].id == 4
        session.delete(session.scalars(sa.select(divided).where(divided.id == 4)).one())
    with engine.begin() as connection:
        count = sa.select(sa.func.count())
        assert connection.scalar(count.select_from(parts).where(parts.article_id == 4)) == 0
