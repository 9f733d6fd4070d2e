"""
Embeddings: vectors beside the rows they describe, and the rows nearest to a vector.

::

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        language: Mapped[str]
        embedding: Mapped[Vector | None] = Embedding(384, index=HNSW(metric="cosine"))

    english = select(Article).where(Article.language == "en")
    statement = embeddings.nearest(english, Article.embedding, vector, k=10)

The statement runs in sync and async sessions alike, and gives ``(article, distance)``.
"""

from __future__ import annotations

from pgvector import Vector

from pgultra.features.embeddings.chunks import nearest_parents, split_text
from pgultra.features.embeddings.copy import bulk_copy
from pgultra.features.embeddings.embedder import Embedder, HashingEmbedder
from pgultra.features.embeddings.index import HNSW, IVFFlat
from pgultra.features.embeddings.model import Embedding, Rules
from pgultra.features.embeddings.nearest import nearest, rerank
from pgultra.features.embeddings.queries import distance, similarity, within
from pgultra.features.embeddings.recall import build_index, recall
from pgultra.features.embeddings.remote import OpenAIEmbedder, SentenceTransformerEmbedder
from pgultra.features.embeddings.splitting import Chunks
from pgultra.features.embeddings.upkeep import backfill, queue_status, retry_failed
from pgultra.features.embeddings.vector import VectorType
from pgultra.features.embeddings.version import NextVersion, next_version, switch
from pgultra.features.embeddings.wire import InvalidVector
from pgultra.features.embeddings.worked import QueueStatus
from pgultra.features.embeddings.worker import EmbeddingWorker, Worked

__all__ = [
    "HNSW",
    "Chunks",
    "Embedder",
    "Embedding",
    "EmbeddingWorker",
    "HashingEmbedder",
    "IVFFlat",
    "InvalidVector",
    "NextVersion",
    "OpenAIEmbedder",
    "QueueStatus",
    "Rules",
    "SentenceTransformerEmbedder",
    "Vector",
    "VectorType",
    "Worked",
    "backfill",
    "build_index",
    "bulk_copy",
    "distance",
    "nearest",
    "nearest_parents",
    "next_version",
    "queue_status",
    "recall",
    "rerank",
    "retry_failed",
    "similarity",
    "split_text",
    "switch",
    "within",
]
