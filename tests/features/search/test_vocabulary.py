from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from pgultra import DeclarationError
from pgultra.features import search
from tests.features.search.tables import note_table
from tests.features.search.test_queries import ANY, TEXTS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

TITLES = [
    "Receive the definitive postgres guide",
    "Accommodation in Paris",
    "A separate receiver",
    "Receive or believe",
    "O'Reilly it's (well-known)",
]


def words_of(connection: sa.Connection, table: sa.Table) -> dict[str, int]:
    """
    The vocabulary.
    """
    words = table.metadata.tables["note_search_words"]
    return {
        row.word: row[1] for row in connection.execute(sa.select(words.c.word, words.c["count"]))
    }


@pytest.fixture
def notes(connection: sa.Connection) -> sa.Table:
    """
    Notes with a vocabulary of their titles.
    """
    metadata = sa.MetaData()
    table = note_table(metadata, {"title": "A", "body": "B"}, config="english", vocabulary=True)
    metadata.create_all(connection)
    connection.execute(
        table.insert(),
        [{"id": n, "title": title, "body": "unseen"} for n, title in enumerate(TITLES)],
    )
    search.roll_up(connection, table.c.search)
    return table


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("recieve", "receive"),
        ("Recieve postgrse", "receive postgres"),
        ("acomodation", "accommodation"),
        ('"seperate  guide"', '"separate guide"'),
        ("receive", None),
        ("the their qqqqqq", None),
        ("pairs", "paris"),
        ("-belive or xyz", "-believe or xyz"),
        ("o'reily", "o'reilly"),
        ("O\u2019Reilly", None),
        ("l'accommodation", None),
        ("d\u2019acomodation", "d\u2019accommodation"),
        ("“receive”", None),
        ("“recieve guid”", "“receive guide”"),
        ("receive,paris", None),
        ("receive—pairs…", "receive—paris…"),
        ("separate-receiver", None),
        ("http://recieve.org recieve@x.org", None),
        ("", None),
    ],
)
def test_did_you_mean(
    connection: sa.Connection, notes: sa.Table, typed: str, meant: str | None
) -> None:
    """
    One slip or two in a word; what is known, short or strange stays.
    """
    found = connection.scalar(search.did_you_mean(notes.c.search, typed))
    assert found == meant


def test_a_word_is_known_before_the_roll_up(connection: sa.Connection, notes: sa.Table) -> None:
    """
    It is not corrected away, and proposed only afterwards; what went again is no word.
    """
    ask = search.did_you_mean
    add = notes.insert().values(id=9, title="Hotels in Pariss")
    assert connection.scalar(ask(notes.c.search, "pariss")) == "paris"
    connection.execute(add)
    assert connection.scalar(ask(notes.c.search, "pariss")) is None
    assert connection.scalar(ask(notes.c.search, "hotles pariss guid")) == "hotles pariss guide"
    connection.execute(notes.delete().where(notes.c.id == 9))
    assert connection.scalar(ask(notes.c.search, "pariss")) == "paris"
    connection.execute(add)
    search.roll_up(connection, notes.c.search)
    assert connection.scalar(ask(notes.c.search, "hotles pariss")) == "hotels pariss"


def test_what_is_not_rolled_up_is_read_for_strange_words_only(
    connection: sa.Connection, notes: sa.Table
) -> None:
    """
    It has no index, so a query whose words are known leaves it alone.
    """
    for query, loops in (("receive guide", "(never executed)"), ("recieve guide", "loops=1)")):
        statement = search.did_you_mean(notes.c.search, query)
        text = statement.compile(connection, compile_kwargs={"literal_binds": True})
        lines = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {text}").scalars()
        [scan] = [line for line in lines if "note_search_words_delta" in line]
        assert scan.endswith(loops)


def test_a_setting_of_strings(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Spaces stand between words, whatever a backslash means.
    """
    connection.exec_driver_sql("SET LOCAL standard_conforming_strings = off")
    found = connection.scalar(search.did_you_mean(notes.c.search, "pairs guid"))
    assert found == "paris guide"


def test_stop_words_of_each_language(connection: sa.Connection) -> None:
    """
    A stop word of one of the languages is no mistake.
    """
    metadata = sa.MetaData()
    notes = note_table(
        metadata,
        {"title": "A"},
        sa.Column("language", sa.Text),
        config={"de": "german", None: "english"},
        language_column="language",
        vocabulary=True,
    )
    metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="nights diesel"))
    search.roll_up(connection, notes.c.search)
    for typed, meant in (("nicht diesen", None), ("nihgts diesen", "nights diesen")):
        assert connection.scalar(search.did_you_mean(notes.c.search, typed)) == meant


def test_suggest(connection: sa.Connection, notes: sa.Table) -> None:
    """
    The most frequent words with that beginning, after what stands before.
    """
    rows = connection.execute(search.suggest(notes.c.search, "the Re")).all()
    assert tuple(rows[0]) == ("the receive", "receive", 2)
    assert {row.word for row in rows} == {"receive", "receiver"} | {
        word for word in words_of(connection, notes) if word.startswith("re")
    }
    assert connection.execute(search.suggest(notes.c.search, "re ")).all() == []


@pytest.mark.parametrize(
    ("typed", "suggestion"),
    [
        ("l'Acc", "l'accommodation"),
        ("(well-kn", "(well-known"),
        ("-rec", "-receive"),
        ('fox "sep', 'fox "separate'),
        ("paris/rec", None),
        ("ann@rec", None),
        ("receive.", None),
    ],
)
def test_what_stands_before_a_word_is_none_of_it(
    connection: sa.Connection, notes: sa.Table, typed: str, suggestion: str | None
) -> None:
    """
    Quotes, brackets and apostrophes stay in front; nothing is completed within an address.
    """
    row = connection.execute(search.suggest(notes.c.search, typed)).first()
    assert (row and row.suggestion) == suggestion


@settings(parent=ANY, max_examples=150)
@given(query=TEXTS)
def test_no_text_raises(connection: sa.Connection, notes: sa.Table, query: str) -> None:
    """
    Whatever a user types can be completed and corrected.
    """
    connection.execute(search.suggest(notes.c.search, query)).all()
    connection.execute(search.did_you_mean(notes.c.search, query)).all()


def test_the_vocabulary_follows_the_table(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Updates, deletes and TRUNCATE count; a count from scratch gives the same.
    """
    connection.execute(notes.update().where(notes.c.id == 1).values(title="Hotels in Paris"))
    connection.execute(notes.update().values(body="other"))
    connection.execute(notes.delete().where(notes.c.id == 3))
    search.roll_up(connection, notes.c.search)
    words = words_of(connection, notes)
    assert words["hotels"] == 1
    assert words["receive"] == 1
    assert "accommodation" not in words
    assert "believe" not in words
    search.roll_up(connection, notes.c.search, anew=True)
    assert words_of(connection, notes) == words
    connection.exec_driver_sql("TRUNCATE note")
    search.roll_up(connection, notes.c.search)
    assert words_of(connection, notes) == {}


def test_a_schema_that_is_translated(connection: sa.Connection) -> None:
    """
    A tenant's schema_translate_map holds for the vocabulary too, whatever its name.
    """
    metadata = sa.MetaData()
    table = note_table(metadata, {"title": "A"}, config="english", vocabulary=True)
    connection.exec_driver_sql('CREATE SCHEMA "Ten%%ant"')
    connection.execution_options(schema_translate_map={None: "Ten%ant"})
    metadata.create_all(connection)
    connection.execute(table.insert().values(id=1, title="Receive the guide"))
    assert search.roll_up(connection, table.c.search) == 3
    assert search.roll_up(connection, table.c.search, anew=True) == 3
    assert connection.scalar(search.did_you_mean(table.c.search, "recieve")) == "receive"
    assert connection.execute(search.suggest(table.c.search, "gui")).one().word == "guide"
    found = connection.execute(search.top(table, table.c.search, "guide")).one()
    assert found.id == 1
    connection.execution_options(schema_translate_map=None)


def test_a_column_without_vocabulary() -> None:
    """
    The error says how to declare one.
    """
    table = note_table(sa.MetaData(), {"title": "A"})
    with pytest.raises(DeclarationError, match="vocabulary=True"):
        search.suggest(table.c.search, "a")


def test_writers_of_one_word_do_not_wait(engine: sa.Engine) -> None:
    """
    Many transactions with the same words, some open at once with a roll-up: none waits.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"}, vocabulary=["title"])
    metadata.create_all(engine)

    def write(number: int) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")
            connection.execute(notes.insert().values(id=number, title="same words"))
            if number % 5 == 0:
                connection.exec_driver_sql("SELECT pg_sleep(0.05)")

    with engine.begin() as held:
        held.execute(notes.insert().values(id=1000, title="same words"))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(40)))
        with engine.begin() as connection:
            search.roll_up(connection, notes.c.search)
            assert words_of(connection, notes) == {"same": 40, "words": 40}
    with engine.begin() as connection:
        search.roll_up(connection, notes.c.search)
        assert words_of(connection, notes) == {"same": 41, "words": 41}


async def test_roll_up_on_an_async_connection(async_engine: AsyncEngine) -> None:
    """
    The same function takes an AsyncConnection; the queries run on asyncpg.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"}, config="english", vocabulary=True)
    async with async_engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(notes.insert().values(id=1, title="quick foxes"))
        assert await search.roll_up(connection, notes.c.search) == 2
        assert await connection.scalar(search.did_you_mean(notes.c.search, "quikc")) == "quick"
        assert (await connection.execute(search.suggest(notes.c.search, "fo"))).all()
        statement = search.top(
            sa.select(notes.c.id, search.headline(notes.c.search, "fox")),
            notes.c.search, "fox", 3,
        )  # fmt: skip
        assert (await connection.execute(statement)).one()[:2] == (1, "quick <mark>foxes</mark>")
        for function in (search.match, search.phrase, search.prefix):
            assert await connection.scalar(sa.select(function(notes.c.search, "fox")))
