"""
The room's sample: articles with three embeddings, and the chunks of long ones.

``models()`` gives the classes, ``build()`` their MetaData for the laws; ``Article`` and
``Base`` are one copy for the tests of the room, and ``TABLES`` for the page of its SQL.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgultra
from pgultra.features.embeddings import HNSW, Chunks, Embedding, IVFFlat, NextVersion

if TYPE_CHECKING:
    from collections.abc import Callable


def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:
    """
    The sample's tables in a MetaData of its own.
    """
    metadata: sa.MetaData = models(schema, name).Base.metadata
    return metadata


def models(schema: str | None = None, name: Callable[[str], str] = str) -> SimpleNamespace:
    """
    The sample's classes.
    """
    spelt, place = name, {"schema": schema}

    class Base(DeclarativeBase):
        pass

    class Article(Base):
        __tablename__ = spelt("article")
        __table_args__ = place

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=name is str)
        title: Mapped[str] = mapped_column(spelt("title"))
        language: Mapped[str] = mapped_column(spelt("language"), default="en")
        body: Mapped[str | None] = mapped_column(spelt("body"))
        embedding: Mapped[Vector | None] = Embedding(
            3,
            index=HNSW(metric="cosine"),
            source=("title", "body"),
            model="length",
            name=spelt("embedding"),
        )
        in_half: Mapped[Vector | None] = Embedding(
            3, metric="l2", precision="half", name=spelt("in_half")
        )
        in_bits: Mapped[Vector | None] = Embedding(3, precision="bit", name=spelt("in_bits"))

    class Chunk(Base):
        __tablename__ = spelt("chunk")
        __table_args__ = place

        article_id: Mapped[int] = mapped_column(
            spelt("article_id"), sa.ForeignKey(Article.id, ondelete="CASCADE"), primary_key=True
        )
        number: Mapped[int] = mapped_column(spelt("number"), primary_key=True)
        text: Mapped[str] = mapped_column(spelt("text"))
        embedding: Mapped[Vector | None] = Embedding(3, source="text", name=spelt("embedding"))

    class Note(Base):
        __tablename__ = spelt("note")
        __table_args__ = place

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=name is str)
        text: Mapped[str] = mapped_column(spelt("text"))
        embedding: Mapped[Vector | None] = Embedding(
            3,
            index=IVFFlat(metric="l2"),
            source="text",
            model="old",
            next_version=NextVersion(dimensions=4, model="new"),
            name=spelt("embedding"),
        )

    pgultra.declare(
        Chunk,
        Chunks(source=(Article.title, Article.body), text=Chunk.text, number=Chunk.number),
    )
    return SimpleNamespace(Base=Base, Article=Article, Chunk=Chunk, Note=Note)


BLOG = models()
Base: Any = BLOG.Base
Article: Any = BLOG.Article
TABLES = SimpleNamespace(**Base.metadata.tables)
