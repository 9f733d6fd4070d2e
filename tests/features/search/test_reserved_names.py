"""
Tables and keys with the names that searches use within: none is in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra.features import search
from pgultra.features.embeddings import Embedding, Vector
from pgultra.features.search import SearchVector, Source, TSVector, TSVectorType

if TYPE_CHECKING:
    from collections.abc import Callable


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class Note(Base):
    """
    Its key is called as what both sides give.
    """

    __tablename__ = "by_vector"

    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"title": "A"})
    embedding: Mapped[Vector | None] = Embedding(3)


WAYS: dict[str, Callable[[sa.Table], sa.Select[object]]] = {
    "top": lambda note: search.top(note, note.c.search, "fox"),
    "any": lambda note: search.top(note, note.c.search, "fox", words="any"),
    "hybrid": lambda note: search.hybrid(note, text="fox"),
    "federated": lambda note: search.federated([Source(note)], "fox"),
}


def found(connection: sa.Connection, way: str, name: str, *keys: str) -> sa.Result[object]:
    """
    What a search finds in a table of that name, with keys of these names.
    """
    note = sa.Table(
        name,
        sa.MetaData(),
        *(sa.Column(key, sa.Integer, primary_key=True, autoincrement=False) for key in keys),
        sa.Column("title", sa.Text),
        sa.Column("search", TSVectorType({"title": "A"})),
    )
    note.metadata.create_all(connection)
    rows = [dict.fromkeys(keys, number) | {"title": "fox"} for number in (1, 2, 3)]
    connection.execute(note.insert(), rows)
    return connection.execute(WAYS[way](note))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name", ["best", "fused", "by_text", "by_vector", "found", "page", "known"]
)
def test_tables(connection: sa.Connection, way: str, name: str) -> None:
    """
    A table may be called as a part of the statement was.
    """
    assert len(found(connection, way, name, "id").all()) == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("key", ["rank", "tier", "score", "k0", "key_0", "vector", "text_rank"])
def test_keys(connection: sa.Connection, way: str, key: str) -> None:
    """
    So may the key, alone or as the second of two.
    """
    assert len(found(connection, way, "note", key).all()) == 3
    connection.exec_driver_sql("DROP TABLE note")
    assert len(found(connection, way, "note", "id", key).all()) == 3


def test_columns_that_callers_get(connection: sa.Connection) -> None:
    """
    What comes out is named as ever.
    """
    assert list(found(connection, "hybrid", "note", "id").keys()) == [
        "id",
        "title",
        "search",
        "score",
        "text_rank",
        "vector_rank",
    ]


@pytest.mark.needs("vector")
def test_a_key_called_rank_on_both_sides(connection: sa.Connection) -> None:
    """
    Words and meaning are fused by a key that is called as what they are fused by.
    """
    Base.metadata.create_all(connection)
    rows = [
        {"id": 1, "rank": number, "title": title, "embedding": [number, 1, 0]}
        for number, title in enumerate(["fox", "dog", "fox"])
    ]
    connection.execute(sa.insert(Note), rows)
    with Session(connection) as session:
        found = session.execute(search.hybrid(Note, text="fox", vector=[0, 1, 0])).all()
        places = [(row[0].rank, row.text_rank, row.vector_rank) for row in found]
    assert places == [(0, 1, 1), (2, 2, 3), (1, None, 2)]
