"""
Queries of a vector with several languages: each row judges in its own.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from pgultra.features import search
from tests.features.search.tables import note_table

CONFIG = {"de": "german", "en": "english", "it's 100%": "english", None: "simple"}
ROWS = [
    ("lazy fox", "en"),
    ("quick fox", "en"),
    ("fauler fox", "de"),
    ("to be or not to be", "en"),
    ("der die das", "de"),
    ("die hard", "en"),
    ("hard", "en"),
    ("lazy fox", None),
    ("foxes", "it's 100%"),
]


@pytest.fixture
def notes(connection: sa.Connection) -> sa.Table:
    """
    Rows in four languages, numbered from 1.
    """
    language = sa.Column("spoken", sa.Text, key="language")
    notes = note_table(
        sa.MetaData(), {"title": "A"}, language, config=CONFIG, language_column="language"
    )
    notes.metadata.create_all(connection)
    for number, (title, language) in enumerate(ROWS, start=1):
        connection.execute(notes.insert().values(id=number, title=title, language=language))
    return notes


def matched(connection: sa.Connection, condition: sa.ColumnElement[bool], key: object) -> list[int]:
    """
    The keys of the rows that fulfil a condition.
    """
    return list(connection.scalars(sa.select(key).where(condition).order_by(key)))


def best(connection: sa.Connection, notes: sa.Table, query: str, **options: object) -> list[int]:
    """
    The keys that ``top`` finds.
    """
    rows = connection.execute(search.top(sa.select(notes.c.id), notes.c.search, query, **options))
    return sorted(row.id for row in rows)


def lines(connection: sa.Connection, statement: sa.Select[object]) -> str:
    """
    The plan without sequential scans, where there is one.
    """
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    text = statement.compile(connection, compile_kwargs={"literal_binds": True})
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN {text}").scalars())


def test_a_word_that_must_not_be_there(connection: sa.Connection, notes: sa.Table) -> None:
    """
    A row that has it in its own language is left out, whatever it is in others.
    """
    without = search.match(notes.c.search, "fox -lazy")
    assert matched(connection, without, notes.c.id) == [2, 3, 9]
    assert best(connection, notes, "fox -lazy") == [2, 3, 9]
    assert best(connection, notes, "fox -lazy", fallback=False) == [2, 3, 9]
    assert matched(connection, ~search.match(notes.c.search, "fox"), notes.c.id) == [4, 5, 6, 7]
    typed = sa.literal("fox -lazy")
    assert matched(connection, search.match(notes.c.search, typed), notes.c.id) == [2, 3, 9]
    assert matched(connection, search.match(notes.c.search, ""), notes.c.id) == []


def test_an_alias_has_its_own_language(connection: sa.Connection, notes: sa.Table) -> None:
    """
    The language is that of the alias; a subquery without it is searched in all.
    """
    other = aliased(notes)
    assert matched(connection, search.match(other.c.search, "fox -lazy"), other.c.id) == [2, 3, 9]
    bare = sa.select(notes.c.id, notes.c.search).subquery()
    assert matched(connection, search.match(bare.c.search, "fox -lazy"), bare.c.id) == [
        1,
        2,
        3,
        8,
        9,
    ]


def test_words_that_another_language_leaves_out(connection: sa.Connection, notes: sa.Table) -> None:
    """
    "die" is a word in English, so "hard" alone is no match there; phrases and prefixes too.
    """
    for way in (search.match, search.phrase, search.prefix):
        assert matched(connection, way(notes.c.search, "die hard"), notes.c.id) == [6]
    assert matched(connection, search.any_word(notes.c.search, "die hard"), notes.c.id) == [6, 7]
    assert best(connection, notes, "die hard", words="any") == [6, 7]
    assert best(connection, notes, "die hard") == [6]


def test_stop_words_of_one_language(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Rows in whose language nothing is left of the query are found by the words as they stand.
    """
    assert best(connection, notes, "to be or not to be") == [4]
    assert best(connection, notes, "to be or not to be", fallback=False) == []
    assert best(connection, notes, "der die") == [5]
    assert best(connection, notes, "die") == [5, 6]
    assert best(connection, notes, "die", language="en") == [6]
    assert connection.scalar(sa.select(search.understood(notes.c.search, "to be"))) is not None


def test_the_index_serves_all_languages(connection: sa.Connection, notes: sa.Table) -> None:
    """
    What all languages make of the query is a constant, and the fallback is folded away.
    """
    for statement in (
        sa.select(notes.c.id).where(search.match(notes.c.search, "fox -lazy")),
        sa.select(notes.c.id).where(search.prefix(notes.c.search, "fox")),
        search.top(sa.select(notes.c.id), notes.c.search, "fox -lazy"),
        search.top(sa.select(notes.c.id), notes.c.search, "fox", words="any"),
    ):
        plan = lines(connection, statement)
        assert "Bitmap Index Scan on note_search_gin" in plan
        assert "~*" not in plan
        assert "websearch_to_tsquery" not in plan


def test_any_text_is_a_query(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Whatever is typed, matching and ranking never raise.
    """
    for query in (
        "",
        "-",
        "--- -",
        "'",
        "\\",
        "a:b & | !",
        "%s :x 100%",
        '"',
        "- or -",
        "or",
        "ß\t",
    ):
        for way in (search.match, search.phrase, search.prefix, search.any_word):
            matched(connection, way(notes.c.search, query), notes.c.id)
            matched(connection, way(notes.c.search, sa.literal(query)), notes.c.id)
        best(connection, notes, query)


def test_a_language_for_each_configuration(connection: sa.Connection) -> None:
    """
    All configurations that PostgreSQL ships in one vector: a query is read in each.
    """
    notes = note_table(
        sa.MetaData(),
        {"title": "A"},
        sa.Column("language", sa.Text),
        config="english",
        language_column="language",
    )
    notes.metadata.create_all(connection)
    pairs = [("english", "lazy fox"), ("english", "foxes"), ("german", "Füchse"), (None, "foxes")]
    for number, (language, title) in enumerate(pairs, start=1):
        connection.execute(notes.insert().values(id=number, title=title, language=language))
    assert best(connection, notes, "fox -lazy") == [2, 4]
    assert best(connection, notes, "füchse") == [3]
