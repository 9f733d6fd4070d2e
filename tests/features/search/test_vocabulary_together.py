"""
A vocabulary while others write: nothing is counted twice, and nothing stays.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.features import search
from tests.features.search.tables import note_table
from tests.features.search.test_vocabulary import words_of


@pytest.fixture
def notes(engine: sa.Engine) -> sa.Table:
    """
    One note with a vocabulary of its title.
    """
    metadata = sa.MetaData()
    table = note_table(metadata, {"title": "A"}, vocabulary=True)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert().values(id=1, title="fox"))
    return table


def test_what_is_written_while_all_is_counted_anew(engine: sa.Engine, notes: sa.Table) -> None:
    """Whatever statement it falls between, it is counted once."""
    number = iter(range(2, 100))

    with engine.begin() as connection:

        @sa.event.listens_for(connection, "after_cursor_execute")
        def write(*_: Any) -> None:
            with engine.begin() as other:
                other.execute(notes.insert().values(id=next(number), title="dog"))

        search.roll_up(connection, notes.c.search, anew=True)
    with engine.begin() as connection:
        search.roll_up(connection, notes.c.search)
        assert words_of(connection, notes) == {"fox": 1, "dog": next(number) - 2}


@pytest.mark.parametrize("anew", [False, True])
def test_an_emptied_table_has_no_words(engine: sa.Engine, notes: sa.Table, anew: bool) -> None:
    """A TRUNCATE waits for a roll-up that has begun."""

    def empty() -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("TRUNCATE note"))

    truncating = threading.Thread(target=empty)
    with engine.begin() as connection:
        search.roll_up(connection, notes.c.search, anew=anew)
        truncating.start()
        truncating.join(0.5)
        assert truncating.is_alive()
    truncating.join(30)
    with engine.begin() as connection:
        search.roll_up(connection, notes.c.search)
        assert not words_of(connection, notes)
