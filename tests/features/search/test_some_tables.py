"""
``create_all(tables=…)`` and ``drop_all(tables=…)`` of a table with a vocabulary.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pgultra import plan
from pgultra.features import search
from tests.features.search.tables import note_table


@pytest.mark.parametrize("schemas", [None, {None: "tenant"}])
def test_the_vocabulary_comes_and_goes_along(engine: sa.Engine, schemas: Any) -> None:
    """
    Its triggers would fail at each row; and words that stay would be counted twice.
    """
    metadata = sa.MetaData()
    note = note_table(metadata, {"title": "A"}, vocabulary=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant")
    there = engine.execution_options(schema_translate_map=schemas)
    place = "tenant" if schemas else None
    for tables in ([note], metadata.sorted_tables, None):
        metadata.create_all(there, tables=tables)
        with there.begin() as connection:
            connection.execute(note.insert().values(id=1, title="fox"))
            assert search.roll_up(connection, note.c.search) == 1
            words = metadata.tables["note_search_words"].c["count"]
            assert connection.scalars(sa.select(words)).all() == [1]
        if not schemas:
            with engine.connect() as connection:
                assert not plan.check(connection, metadata)
        metadata.drop_all(there, tables=tables)
        assert sa.inspect(engine).get_table_names(place) == []


def test_what_is_shown_is_what_is_run() -> None:
    """
    On the engine of ``create_mock_engine``, too.
    """
    metadata = sa.MetaData()
    note = note_table(metadata, {"title": "A"}, vocabulary=True)
    said: list[str] = []
    engine = sa.create_mock_engine(
        "postgresql+psycopg://",
        lambda text, *_: said.append(str(text.compile(dialect=engine.dialect))),
    )
    metadata.create_all(engine, tables=[note], checkfirst=False)
    assert sum("CREATE TABLE" in text for text in said) == 3
