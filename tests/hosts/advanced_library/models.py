"""
The library's models.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import UUID  # noqa: TC003  # SQLAlchemy reads the annotations

from advanced_alchemy.base import (
    AdvancedDeclarativeBase,
    BigIntAuditBase,
    CommonTableAttributes,
    UUIDAuditBase,
)
from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pgultra import (
    ByHash,
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

EMBEDDER = embeddings.HashingEmbedder(32)
READERS = KeyRing.from_env("library-readers", variable="APP_PII_KEYS")


class Author(SoftDelete, UUIDAuditBase):
    __tablename__ = "author"

    name: Mapped[str] = mapped_column(String(80))
    books: Mapped[list[Book]] = relationship(
        back_populates="author", cascade="all, delete-orphan", lazy="selectin"
    )


class Book(SoftDelete, UUIDAuditBase):
    __tablename__ = "book"
    __table_args__ = (soft_delete.unique_live("isbn"),)

    isbn: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(200))
    blurb: Mapped[str] = mapped_column(Text, default="")
    author_id: Mapped[UUID] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books", lazy="joined", innerjoin=True)
    words: Mapped[TSVector] = SearchVector({"title": "A", "blurb": "B"}, config="english")
    if os.environ.get("SEMANTIC_SEARCH") != "off":
        embedding: Mapped[Vector | None] = Embedding(
            32, source=("title", "blurb"), model=EMBEDDER.model
        )


class Reader(BigIntAuditBase):
    __tablename__ = "reader"

    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str | None] = EncryptedColumn(
        String, keys=READERS, search=Equality(normalize="casefold", unique=True)
    )


class Loan(PartitionedTable, CommonTableAttributes, AdvancedDeclarativeBase, AsyncAttrs):
    __tablename__ = "loan"
    __partition_by__ = ByHash("reader_id", modulus=4)

    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"), primary_key=True)
    book_id: Mapped[UUID] = mapped_column(ForeignKey("book.id"), primary_key=True)
    since: Mapped[datetime] = mapped_column(
        DateTimeUTC(timezone=True), default=lambda: datetime.now(UTC)
    )


metadata = Author.metadata
