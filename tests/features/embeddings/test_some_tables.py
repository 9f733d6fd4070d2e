"""
``create_all(tables=…)`` and ``drop_all(tables=…)`` of a table with embeddings of its texts.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import plan
from pgultra.features.embeddings import (
    Embedding,
    EmbeddingWorker,
    HashingEmbedder,
    NextVersion,
    queue_status,
)

SMALL = HashingEmbedder(8)
LATER = HashingEmbedder(16)


@pytest.mark.parametrize("schemas", [None, {None: "tenant"}])
@pytest.mark.parametrize(
    "next_", [{}, {"next_version": NextVersion(dimensions=16, model=LATER.model)}]
)
def test_what_is_kept_beside_comes_and_goes_along(
    engine: sa.Engine, schemas: Any, next_: dict[str, Any]
) -> None:
    """
    Every INSERT would fail where the trigger notes a stale row in a table that is not there.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        meaning = Embedding(8, source="title", model=SMALL.model, **next_)

    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant")
    there = engine.execution_options(schema_translate_map=schemas)
    note = Base.metadata.tables["note"]
    for tables in ([note], None):
        Base.metadata.create_all(there, tables=tables)
        with there.begin() as connection:
            connection.execute(note.insert().values(id=1, title="fox"))
            assert queue_status(connection, Note.meaning).waiting == 1
        if not schemas:
            assert EmbeddingWorker(engine, SMALL, Note.meaning).work().embedded == 1
            with engine.connect() as connection:
                assert not plan.check(connection, Base.metadata)
        Base.metadata.drop_all(there, tables=tables)
        assert sa.inspect(engine).get_table_names("tenant" if schemas else None) == []
