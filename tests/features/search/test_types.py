"""
Columns of every type as parts: writes go on as before, and changes are seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CITEXT, JSON

from pgultra import DeclarationError
from pgultra.features import search
from pgultra.features.search import TSVectorType

if TYPE_CHECKING:
    from collections.abc import Callable


def table_of(
    type_: Any,
    part: Callable[[sa.Column[Any]], Any] = lambda column: column,
    more: tuple[sa.Column[Any], ...] = (),
    **options: Any,
) -> sa.Table:
    source = sa.Column("source", type_)
    table = sa.Table("note", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), *more)
    table.append_column(source)
    table.append_column(sa.Column("search", TSVectorType({part(source): "A"}, **options)))
    return table


def found(connection: sa.Connection, table: sa.Table, query: str) -> list[Any]:
    where = search.match(table.c.search, query)
    return list(connection.scalars(sa.select(table.c.id).where(where).order_by(table.c.id)))


@pytest.mark.needs("citext")
@pytest.mark.parametrize("mode", ["generated", "trigger"])
@pytest.mark.parametrize("vocabulary", [False, True])
def test_citext(connection: sa.Connection, mode: Any, vocabulary: bool) -> None:
    """An extension's type is never named: triggers do not see the schema that it is in."""
    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS citext")
    table = table_of(CITEXT, mode=mode, vocabulary=vocabulary)
    table.metadata.create_all(connection)
    connection.execute(table.insert(), [{"id": 1, "source": "Fox"}, {"id": 2, "source": None}])
    connection.execute(table.update().where(table.c.id == 1).values(source="Goose"))
    assert found(connection, table, "goose") == [1]
    assert not found(connection, table, "fox")


@pytest.mark.parametrize("mode", ["auto", "trigger"])
def test_a_text_within_json(connection: sa.Connection, mode: Any) -> None:
    """json has no equality: its vocabulary compares what is read of it."""
    table = table_of(JSON, lambda column: column["name"].astext, vocabulary=True, mode=mode)
    table.metadata.create_all(connection)
    connection.execute(table.insert().values(id=1, source={"name": "fox"}))
    connection.execute(table.update().values(source={"name": "goose"}))
    search.roll_up(connection, table.c.search)
    words = table.metadata.tables["note_search_words"]
    assert connection.execute(sa.select(words.c.word, words.c["count"])).all() == [("goose", 1)]


@pytest.mark.needs("icu")
def test_a_collation_that_sees_no_accents(connection: sa.Connection) -> None:
    """What it takes for the same is another text all the same."""
    connection.exec_driver_sql(
        "CREATE COLLATION bare (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    )
    table = table_of(sa.Text(collation="bare"), mode="trigger", vocabulary=True)
    table.metadata.create_all(connection)
    connection.execute(table.insert().values(id=1, source="cafe"))
    connection.execute(table.update().values(source="café"))
    assert found(connection, table, "café") == [1]
    search.roll_up(connection, table.c.search)
    words = table.metadata.tables["note_search_words"]
    assert connection.execute(sa.select(words.c.word)).scalars().all() == ["café"]


@pytest.mark.parametrize("mode", ["auto", "generated", "trigger"])
@pytest.mark.parametrize("part", [lambda column: column, lambda column: column + "x"])
def test_a_computed_column_is_refused(mode: Any, part: Any) -> None:
    """It is not known yet when the vector is made."""
    column = sa.Column("source", sa.Text, sa.Computed("title || 'x'"))
    vector = sa.Column("search", TSVectorType({part(column): "A"}, mode=mode))
    metadata, title = sa.MetaData(), sa.Column("title", sa.Text)
    sa.Table("note", metadata, title, column, vector)
    engine = sa.create_mock_engine("postgresql+psycopg://", print)
    with pytest.raises(DeclarationError, match=r"note: source is computed, .* its expression"):
        metadata.create_all(engine)


def test_a_language_that_is_an_enum(connection: sa.Connection) -> None:
    """Its text is not immutable, since labels can be renamed: triggers keep the vector."""
    language = sa.Column("language", sa.Enum("de", "en", name="lang"))
    config = {"de": "german", "en": "english"}
    table = table_of(sa.Text, more=(language,), config=config, language_column="language")
    table.metadata.create_all(connection)
    row = {"id": 1, "source": "geese and foxes", "language": "en"}
    connection.execute(table.insert().values(row))
    assert table.c.search.computed is None
    assert found(connection, table, "fox") == [1]


class Code:
    """A key as an application has it."""

    def __init__(self, text: str) -> None:
        self.text = text


class CodeType(sa.TypeDecorator[Code]):
    """Keys that the driver cannot send as they are."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Code | None, dialect: Any) -> str | None:
        return None if value is None else value.text

    def process_result_value(self, value: str | None, dialect: Any) -> Code | None:
        return None if value is None else Code(value)


def test_a_backfill_sends_keys_as_their_column_does(connection: sa.Connection) -> None:
    """A key that is an object is made by its type, and read by it."""
    table = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("code", CodeType, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("search", TSVectorType({"title": "A"}, mode="trigger")),
    )
    table.metadata.create_all(connection)
    connection.execute(table.insert(), [{"code": Code(c), "title": "fox"} for c in "abc"])
    connection.exec_driver_sql("ALTER TABLE note DISABLE TRIGGER USER")
    connection.execute(table.update().values(search=None))
    connection.exec_driver_sql("ALTER TABLE note ENABLE TRIGGER USER")
    done = search.backfill(connection, table.c.search, batch_size=2)
    assert (done.seen, done.changed) == (3, 3)
    assert search.backfill(connection, table.c.search, after=[Code("b")]).seen == 1
