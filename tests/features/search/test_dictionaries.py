"""
Dictionaries that make several words of one: each of them stands for it.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pgultra.features import search
from tests.features.search.tables import note_table

MADE = """
CREATE TEXT SEARCH DICTIONARY clubs (
    TEMPLATE = ispell, DictFile = ispell_sample, AffFile = ispell_sample);
CREATE TEXT SEARCH CONFIGURATION clubs (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION clubs ALTER MAPPING FOR asciiword, hword_asciipart, asciihword
    WITH clubs, simple
"""
TITLES = ["sky", "footballklubber", "bookings", "nothing", "sky footballklubber"]


@pytest.fixture
def notes(connection: sa.Connection) -> sa.Table:
    """
    Notes about clubs, read with PostgreSQL's own example of such a dictionary.
    """
    for statement in MADE.split(";"):
        connection.exec_driver_sql(statement)
    schema = connection.scalar(sa.select(sa.func.current_schema()))
    notes = note_table(sa.MetaData(), {"title": "A"}, config=f"{schema}.clubs")
    notes.metadata.create_all(connection)
    rows = [{"id": number, "title": title} for number, title in enumerate(TITLES, start=1)]
    connection.execute(notes.insert(), rows)
    return notes


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("footballklubber sky", [1, 2, 5]),
        ("sky footballklubber", [1, 2, 5]),
        ("bookings sky", [1, 3, 5]),
        ("sky-footballklubber", [1, 2, 5]),
        ("booking", [3]),
    ],
)
def test_any_word(
    connection: sa.Connection, notes: sa.Table, query: str, expected: list[int]
) -> None:
    """
    One of the words is enough, in whatever form.
    """
    vector = notes.c.search
    found = sa.select(notes.c.id).where(search.any_word(vector, query)).order_by(notes.c.id)
    assert list(connection.scalars(found)) == expected
    best = search.top(sa.select(notes.c.id), vector, query, words="any", candidates=None)
    assert sorted(connection.scalars(best)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("footballk", [2, 5]),
        ("sky footb", [5]),
        ("sky/bookings", []),
        ("sky-footballklubber", []),
        ("it's bookings", []),
        ("bookings", [3]),
        ("sky", [1, 5]),
    ],
)
def test_prefix(
    connection: sa.Connection, notes: sa.Table, query: str, expected: list[int]
) -> None:
    """
    Each form of the last word is the beginning of one, and no text raises.
    """
    found = sa.select(notes.c.id).where(search.prefix(notes.c.search, query)).order_by(notes.c.id)
    assert list(connection.scalars(found)) == expected
