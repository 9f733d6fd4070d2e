"""
An embedder whose vectors tell of the text, and questions about the sample.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pgvector import Vector
from sqlalchemy.orm import Session

from tests.features.embeddings.sample import Article

if TYPE_CHECKING:
    from collections.abc import Sequence


class Length:
    """
    Embeds a text as its length, and counts what it was given.
    """

    model = "length"
    dimensions = 3

    def __init__(self, pause: float = 0.0) -> None:
        self.seen: Counter[str] = Counter()
        self.pause = pause
        self.broken: set[str] = set()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        time.sleep(self.pause)
        for text in texts:
            if text in self.broken:
                raise RuntimeError(f"cannot read {text}")
        self.seen.update(texts)
        return [self.vector(text) for text in texts]

    @staticmethod
    def vector(text: str) -> list[float]:
        return [float(len(text)), float(sum(map(ord, text)) % 1000), 1.0]


def at_once(attempt: Any) -> float:
    """
    A wait strategy without a wait.
    """
    return 0.0


def expected(article: Article) -> Vector:
    """
    What the embedder gives for an article's text.
    """
    text = "\n\n".join(part for part in (article.title, article.body) if part is not None)
    return Vector(Length.vector(text))


def all_true(engine: sa.Engine) -> bool:
    """
    Whether every row's vector is that of its latest text.
    """
    with Session(engine) as session:
        return all(a.embedding == expected(a) for a in session.scalars(sa.select(Article)))


def fill(engine: sa.Engine, count: int) -> None:
    """
    Articles without vectors.
    """
    with Session(engine) as session:
        session.add_all(Article(id=n, title=f"title {n}", body="x" * n) for n in range(count))
        session.commit()
