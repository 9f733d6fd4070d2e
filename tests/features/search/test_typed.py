"""
What a user typed stands in the statement itself: it is a text, whatever the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features import search
from pgultra.features.search.typed import bound
from tests.features.search.tables import note_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.fixtures.database import Database

TEXTS = [
    "\\') OR TRUE --",
    "\\",
    "a\\b 'c' %(d)s 50% %%(e)s",
    "%(param_1)s",
    "__[POSTCOMPILE_param_1] __[SCHEMA_tenant] :f $1",
    "\t\n",
]
OFF = "SET standard_conforming_strings = off"
READS: list[Callable[..., sa.ColumnElement[bool]]] = [
    search.match,
    search.phrase,
    search.prefix,
    search.any_word,
]


def wanted(text: str) -> sa.Select[Any]:
    """
    A statement that gives the text back, and has a parameter too.
    """
    return sa.select(bound(text)).where(sa.literal(1) == 1)


@pytest.mark.parametrize("setting", ["on", "off", "off when the engine connected"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_what_was_typed(database: Database, text: str, setting: str) -> None:
    """
    Backslashes, quotes and percent signs arrive as they are.
    """
    options = {}
    if setting.startswith("off when"):
        options = {"connect_args": {"options": "-c standard_conforming_strings=off"}}
    with database.engine(**options).connect() as connection:
        if setting == "off":
            connection.exec_driver_sql(OFF)
        assert connection.scalar(wanted(text)) == text
        literal = wanted(text).compile(connection, compile_kwargs={"literal_binds": True})
        assert connection.exec_driver_sql(str(literal)).scalar() == text


@pytest.mark.parametrize("setting", ["on", "off"])
async def test_a_text_is_what_was_typed_on_asyncpg(async_engine: AsyncEngine, setting: str) -> None:
    """
    The same where the driver numbers parameters, which SQLAlchemy 2.0 looked for in the text.
    """
    async with async_engine.connect() as connection:
        await connection.exec_driver_sql(f"SET standard_conforming_strings = {setting}")
        for text in TEXTS:
            assert await connection.scalar(wanted(text)) == text


@pytest.mark.parametrize("read", READS)
def test_nothing_typed_is_read_as_sql(
    connection: sa.Connection, read: Callable[..., sa.ColumnElement[bool]]
) -> None:
    """
    A backslash before a quote ends no text, whatever standard_conforming_strings says.
    """
    notes = note_table(sa.MetaData(), {"title": "A"}, vocabulary=True)
    notes.metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title="secret"))
    connection.exec_driver_sql(OFF.replace("SET", "SET LOCAL"))
    for text in ("\\') OR TRUE --", "\\')) OR TRUE --", "\\' OR TRUE --"):
        statement = sa.select(notes.c.id).where(read(notes.c.search, text))
        assert connection.execute(statement).all() == []
        connection.execute(search.did_you_mean(notes.c.search, text)).all()
        connection.execute(search.suggest(notes.c.search, text)).all()


async def test_percent_signs_in_marks(async_engine: AsyncEngine) -> None:
    """
    What stands around the words of a headline is no parameter either.
    """
    notes = note_table(sa.MetaData(), {"title": "A"})
    async with async_engine.begin() as connection:
        await connection.run_sync(notes.metadata.create_all)
        await connection.execute(notes.insert().values(id=1, title="a fox"))
        head = search.headline(notes.c.search, "fox %(b)s", start="%(a)s")
        assert await connection.scalar(sa.select(head)) == "a %(a)sfox</mark>"
