"""
What a declaration refuses, and what queries make of a metric: nothing of a database is needed.
"""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgultra
from pgultra import DeclarationError
from pgultra.features.embeddings import Embedding, Rules, Vector, VectorType, similarity
from pgultra.features.embeddings.remote import asked_to_wait


def declared(*columns: Any, **options: Any) -> sa.MetaData:
    """
    A table with an embedding, as ``collect`` sees it.
    """
    metadata = sa.MetaData()
    embedding = sa.Column("embedding", VectorType(3, source=("text",), model="m", **options))
    table = sa.Table("note", metadata, *columns, embedding)
    pgultra.declare(table, Rules("embedding"))
    return metadata


def test_a_source_that_is_not_there() -> None:
    """
    The column and the table are named.
    """
    key = sa.Column("id", sa.Integer, primary_key=True)
    with pytest.raises(DeclarationError, match=r"table note has no column 'text'"):
        pgultra.plan.collect(declared(key))


def test_a_source_that_is_secret() -> None:
    """
    A vector tells of its text.
    """
    keys = pgultra.encryption.KeyRing("secret_source", {1: bytes(range(32))})
    key = sa.Column("id", sa.Integer, primary_key=True)
    text = sa.Column("text", pgultra.encryption.Encrypted(sa.Text, keys))
    with pytest.raises(DeclarationError, match=r"note\.text is secret, and an embedding tells"):
        pgultra.plan.collect(declared(key, text))


def test_a_table_without_a_primary_key() -> None:
    """
    It would have to be noted by something which row is stale.
    """
    with pytest.raises(DeclarationError, match="table note needs a primary key"):
        pgultra.plan.collect(declared(sa.Column("text", sa.Text)))


def test_a_table_that_has_the_side_tables_name() -> None:
    """
    A host's own is left alone.
    """

    class Base(DeclarativeBase):
        pass

    class Other(Base):
        __tablename__ = "note_embedding_state"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(DeclarationError, match="there is one that belongs to something else"):

        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            text: Mapped[str]
            embedding: Mapped[Vector] = Embedding(3, source=("text",), model="m")


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("cosine", "1 - (embedding <=> "),
        ("inner_product", "-(embedding <#> "),
        ("l2", "/ CAST((1 + (embedding <-> "),
    ],
)
def test_similarity(metric: Any, said: str) -> None:
    """
    The greater, the more alike, with each metric.
    """
    column = sa.Column("embedding", VectorType(3, metric=metric))
    text = str(similarity(column, [1, 2, 3]))
    assert said.split("(")[-1] in text
    assert (text.startswith("-"), " / " in text) == (metric == "inner_product", metric == "l2")


class Answer(Exception):
    """
    An error with an answer's headers.
    """

    def __init__(self, said: str) -> None:
        self.response = self
        self.headers = {"retry-after": said}


@pytest.mark.parametrize("said", ["7", "0.5", "0"])
def test_how_many_seconds_an_answer_asks_to_wait(said: str) -> None:
    """
    As it says.
    """
    assert asked_to_wait(Answer(said)) == float(said)


@pytest.mark.parametrize(("away", "least", "most"), [(90, 60, 91), (-90, 0, 0)])
def test_until_when_an_answer_asks_to_wait(away: int, least: float, most: float) -> None:
    """
    A moment may be over; one whose zone is "-0000" is in UTC.
    """
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=away)
    plain = format_datetime(moment.replace(tzinfo=None))
    assert plain.endswith("-0000")
    for said in (plain, format_datetime(moment, usegmt=True)):
        waiting = asked_to_wait(Answer(said))
        assert waiting is not None
        assert least <= waiting <= most


@pytest.mark.parametrize("said", ["", "soon", "\xb2", "1.2.3", "Mon, 99 Jan 2026 10:00:00 GMT"])
def test_what_says_nothing(said: str) -> None:
    """
    Then the worker's own patience counts.
    """
    assert asked_to_wait(Answer(said)) is None
