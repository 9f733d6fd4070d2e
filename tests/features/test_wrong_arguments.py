"""
Wrong values for the arguments of queries: refused where they are called, without a database.

The arguments are read from the signatures, so a new one is covered by itself.
"""

from __future__ import annotations

import datetime as dt
import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Integer, Text, create_engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from pgultra.errors import DeclarationError, EncryptionError, PgultraError
from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.features.wrong import WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


NOBODY: Any = SimpleNamespace(execute=None)
"""A connection that nobody gets to ask."""


class Base(DeclarativeBase):
    """Of these tests alone."""


class Note(soft_delete.SoftDelete, Base):
    """Searchable in both ways."""

    __tablename__ = "wrong_note"
    id = mapped_column(Integer, primary_key=True)
    title = mapped_column(Text)
    words = search.SearchVector({"title": "A"}, vocabulary=True)
    meaning = embeddings.Embedding(3)


class Plain(Base):
    """Neither soft-deletable, nor encrypted."""

    __tablename__ = "wrong_plain"
    id = mapped_column(Integer, primary_key=True)


class Sourced(Base):
    """Its vectors are made by a worker."""

    __tablename__ = "wrong_sourced"
    id = mapped_column(Integer, primary_key=True)
    title = mapped_column(Text)
    meaning = embeddings.Embedding(3, source="title")


class Length:
    """An embedder."""

    model, dimensions = "length", 3

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The length of each, in one direction."""
        return [[float(len(text)), 0.0, 0.0] for text in texts]

    encode = embed  # as a loaded model of sentence-transformers has it


ASKED: dict[str, Any] = {"column": Note.words, "query": "fox"}
NEAR: dict[str, Any] = {"column": Note.meaning, "vector": [1, 2, 3]}
WORK: dict[str, Any] = {
    "engine": create_engine("postgresql+psycopg://"),  # it connects when it is asked
    "embedder": Length(),
    "column": Sourced.meaning,
}
CALLS: tuple[tuple[Callable[..., Any], dict[str, Any]], ...] = (
    (search.match, ASKED),
    (search.phrase, ASKED),
    (search.any_word, ASKED),
    (search.prefix, ASKED),
    (search.rank, ASKED),
    (search.rank_cd, ASKED),
    (search.understood, ASKED),
    (search.headline, ASKED),
    (search.top, {**ASKED, "statement": Note}),
    (search.federated, {"sources": [search.Source(Note)], "query": "fox"}),
    (search.hybrid, {"entity": Note, "text": "fox", "vector": [1, 2, 3]}),
    (search.suggest, {"column": Note.words, "partial": "fo"}),
    (search.did_you_mean, ASKED),
    (soft_delete.alive, {"target": Note}),
    (soft_delete.with_deleted, {"statement": select(Note)}),
    (soft_delete.only_deleted, {"statement": select(Note)}),
    (encryption.expected_matches, {"search": encryption.Equality(bits=8), "rows": 10}),
    (embeddings.nearest, {**NEAR, "statement": Note}),
    (embeddings.rerank, {**NEAR, "statement": Note}),
    (embeddings.similarity, NEAR),
    (embeddings.within, {**NEAR, "threshold": 0.2}),
    (embeddings.split_text, {"text": "One. Two."}),
    (embeddings.EmbeddingWorker, WORK),
    (embeddings.HashingEmbedder, {}),
    (embeddings.OpenAIEmbedder, {}),
    (embeddings.SentenceTransformerEmbedder, {"model": Length(), "name": "length"}),
)
ARGUMENTS = [
    (*call, name)
    for call in CALLS
    for name, argument in inspect.signature(call[0]).parameters.items()
    if argument.kind is not argument.VAR_KEYWORD  # which another library takes
]


@pytest.mark.parametrize(
    ("call", "right", "argument"),
    ARGUMENTS,
    ids=[f"{call.__name__}-{argument}" for call, _, argument in ARGUMENTS],
)
def test_a_wrong_argument_gets_an_error_of_ours(
    call: Callable[..., Any], right: dict[str, Any], argument: str
) -> None:
    """Whatever an argument is, what comes out is an answer or an error of pgultra's own."""
    strange = []
    for number, value in enumerate(WRONG):
        try:
            made = call(**{**right, argument: value})
            if hasattr(made, "compile"):
                str(made.compile(dialect=postgresql.dialect()))
        except PgultraError:
            pass
        except Exception as error:  # any but ours: that is what is looked for
            strange.append(f"{number}: {value!r}: {type(error).__name__}: {error}")
    assert not strange, "\n".join(strange)


SLIPS: dict[str, tuple[Callable[[], object], type[PgultraError], str]] = {
    "a batch of no texts": (
        lambda: embeddings.EmbeddingWorker(**WORK, batch=0),
        DeclarationError,
        "EmbeddingWorker: batch=0 is not a whole number from 1 to 1000000",
    ),
    "a lease that has ended before it begins": (
        lambda: embeddings.EmbeddingWorker(**WORK, lease=dt.timedelta(0)),
        DeclarationError,
        "is not a timedelta above 0, such as timedelta(minutes=5)",
    ),
    "the class of an embedder": (
        lambda: embeddings.EmbeddingWorker(**{**WORK, "embedder": Length}),
        DeclarationError,
        "is not an embedder, such as HashingEmbedder(384): it has model, dimensions and embed",
    ),
    "a pause as a text": (
        lambda: embeddings.EmbeddingWorker(**WORK).run(pause="1s"),
        DeclarationError,
        "EmbeddingWorker.run: pause='1s' is not a number of seconds above 0",
    ),
    "an address without a scheme": (
        lambda: embeddings.OpenAIEmbedder(base_url="localhost:11434/v1"),
        DeclarationError,
        "base_url='localhost:11434/v1' is not an address, as https://api.openai.com/v1",
    ),
    "a limit that is no number": (
        lambda: search.top(Note, Note.words, "fox", "ten"),
        DeclarationError,
        "search: limit='ten' is not a whole number from 0 on",
    ),
    "a number of neighbours as a text": (
        lambda: embeddings.nearest(Note, Note.meaning, [1, 2, 3], "ten"),
        DeclarationError,
        "nearest: k='ten' is not a whole number from 1 to 1000000",
    ),
    "a threshold as a text": (
        lambda: embeddings.within(Note.meaning, [1, 2, 3], "near"),
        DeclarationError,
        "within: threshold='near' is not a number, such as 0.2",
    ),
    "a query that is a number": (
        lambda: search.match(Note.words, 3),
        DeclarationError,
        "search: query=3 is not a text or an expression",
    ),
    "a ranker as a text": (
        lambda: search.hybrid(Note, text="fox", by="words"),
        DeclarationError,
        "search.hybrid: by='words' is not a tuple or list of names, such as ['embedding']",
    ),
    "an object that is not soft-deletable": (
        lambda: soft_delete.restore(Session(), Plain(id=1)),
        PgultraError,
        "is no object of a class with pgultra.SoftDelete",
    ),
    "a table that is not encrypted": (
        lambda: encryption.rotate(NOBODY, Plain),
        EncryptionError,
        "has no encrypted column",
    ),
    "what is no MetaData": (
        lambda: partitions.maintain(NOBODY, "events"),
        DeclarationError,
        (
            "partitions: metadata='events' is not a MetaData, a declarative base, a mapped class, or "
            "a list of them"
        ),
    ),
    "a batch of nothing": (
        lambda: partitions.maintain(NOBODY, Base, batch=0),
        DeclarationError,
        "maintain: batch=0 is not a whole number from 1 to 100000000",
    ),
    "a model that is not partitioned": (
        lambda: partitions.convert(NOBODY, Plain),
        DeclarationError,
        "table wrong_plain is not declared as partitioned",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_likely_slip_is_answered_with_what_to_give(slip: str) -> None:
    """The message names the argument, the value and what it takes."""
    make, kind, said = SLIPS[slip]
    with pytest.raises(kind) as found:
        make()
    assert said in str(found.value)
