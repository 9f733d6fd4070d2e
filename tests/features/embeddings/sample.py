"""
One model with embeddings, as a host would write it.
"""

from __future__ import annotations

from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.embeddings import HNSW, Embedding


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    language: Mapped[str] = mapped_column(default="en")
    body: Mapped[str | None]
    embedding: Mapped[Vector | None] = Embedding(
        3, index=HNSW(metric="cosine"), source=("title", "body"), model="length"
    )
    in_half: Mapped[Vector | None] = Embedding(3, metric="l2", precision="half")
    in_bits: Mapped[Vector | None] = Embedding(3, precision="bit")
