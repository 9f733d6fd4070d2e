"""
The newspaper's models.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime

from sqlalchemy import DateTime, ForeignKey, String, Text, func
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra import (
    ByRange,
    Embedding,
    EncryptedColumn,
    Equality,
    KeyRing,
    PartitionedTable,
    SearchVector,
    SoftDelete,
    TSVector,
    Vector,
    embeddings,
    soft_delete,
)

EMBEDDER = embeddings.HashingEmbedder(64)
PII = KeyRing.from_env("news-pii", variable="APP_PII_KEYS")
SEMANTIC_SEARCH = os.environ.get("SEMANTIC_SEARCH") != "off"
"""Off where the server has no pgvector."""


class Base(AsyncAttrs, DeclarativeBase):
    """
    What all models have.
    """

    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Article(SoftDelete, Base):
    __tablename__ = "article"
    __table_args__ = (soft_delete.unique_live("slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(80))
    title: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    comments: Mapped[list[Comment]] = relationship(
        back_populates="article", cascade="all, delete-orphan"
    )
    words: Mapped[TSVector] = SearchVector({"title": "A", "body": "B"}, config="english")
    if SEMANTIC_SEARCH:
        embedding: Mapped[Vector | None] = Embedding(
            64, source=("title", "body"), model=EMBEDDER.model
        )


class Comment(SoftDelete, Base):
    __tablename__ = "comment"

    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id", ondelete="CASCADE"))
    text: Mapped[str]
    article: Mapped[Article] = relationship(back_populates="comments")


class Subscriber(Base):
    __tablename__ = "subscriber"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str]
    email: Mapped[str | None] = EncryptedColumn(
        String, keys=PII, search=Equality(normalize="casefold", unique=True)
    )
    phone: Mapped[str | None] = EncryptedColumn(String(32), keys=PII, context="id")


class Visit(PartitionedTable, Base):
    __tablename__ = "visit"
    __partition_by__ = ByRange("at", every="1 month", premake=2, retain="6 months")

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), primary_key=True, default=lambda: datetime.now(UTC)
    )
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
