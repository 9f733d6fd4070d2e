"""
Retention of tables beside which another room keeps rows, as an embedding's state.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, mapped_column

import pgultra
from pgultra.features import partitions
from pgultra.features.embeddings import (
    Embedding,
    EmbeddingWorker,
    HashingEmbedder,
    NextVersion,
    next_version,
)
from pgultra.features.partitions import ByRange, PartitionedTable

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


def event(schema: str | None, **rules: Any) -> Any:
    """
    A partitioned class with an embedding and its next version.
    """

    class Base(DeclarativeBase):
        metadata = sa.MetaData(schema=schema)

    class Event(PartitionedTable, Base):
        __tablename__ = "Event"
        __partition_by__ = ByRange(
            "occurred_at", every="1 month", retain="1 month", premake=2, **rules
        )

        id = mapped_column('i"d', sa.Integer, primary_key=True)
        occurred_at = mapped_column("at", sa.DateTime(timezone=True), primary_key=True)
        body = mapped_column(sa.Text)
        embedding = Embedding(
            16,
            index=None,
            source="body",
            next_version=NextVersion(dimensions=8, model="pgultra-hashing-1-8-34", index=None),
        )

    if schema:
        pgultra.declare(Base.metadata, pgultra.Schema(name=schema))
    return Event


def test_a_model_that_is_ahead_of_its_migration(database: Database) -> None:
    """
    What is not there yet follows nobody, and retention goes on.
    """
    engine = database.engine()
    model = event(None, on_expire="drop")
    metadata, table = model.metadata, model.__table__
    metadata.create_all(engine)
    with engine.connect() as connection:
        partitions.maintain(connection, metadata, now=datetime(2030, 1, 7, tzinfo=UTC))
    with engine.begin() as connection:
        for name in ("next_state", "next", "state"):
            connection.exec_driver_sql(f'DROP TABLE "Event_embedding_{name}" CASCADE')
        for (trigger,) in connection.exec_driver_sql(
            """SELECT tgname FROM pg_trigger
            WHERE tgrelid = '"Event"'::regclass AND NOT tgisinternal"""
        ).all():
            connection.exec_driver_sql(f'DROP TRIGGER "{trigger}" ON "Event"')
        row = {'i"d': 1, "at": datetime(2030, 1, 7, tzinfo=UTC), "body": "x"}
        connection.execute(table.insert(), [row])
    with engine.connect() as connection:
        done = partitions.maintain(connection, metadata, now=datetime(2030, 4, 20, tzinfo=UTC))
        assert done.complete, str(done)
        assert list(connection.scalars(sa.select(model.id))) == []


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("schema", [None, 'Sche"ma %'])
def test_embedded_rows_leave_with_their_partition(
    database: Database, schema: str | None, default: bool
) -> None:
    """
    What is kept beside them goes first; what is beside other partitions stays.
    """
    engine = database.engine()
    model = event(schema, default=default, on_expire="drop")
    metadata, table = model.metadata, model.__table__
    metadata.create_all(engine)
    months = [datetime(2030, month, 7, tzinfo=UTC) for month in (1, 2, 3)]
    with engine.connect() as connection:
        partitions.maintain(connection, metadata, now=months[0])
    with engine.begin() as connection:
        rows = [{'i"d': n, "at": moment, "body": "x"} for n, moment in enumerate(months)]
        connection.execute(table.insert(), rows)
    EmbeddingWorker(engine, HashingEmbedder(16), model.embedding).work()
    EmbeddingWorker(engine, HashingEmbedder(8), next_version(model.embedding)).work()
    later = datetime(2030, 4, 20, tzinfo=UTC)
    with engine.connect() as connection:
        planned = str(partitions.plan(connection, metadata, now=later).actions)
        connection.rollback()
        done = partitions.maintain(connection, metadata, now=later)
        assert done.complete, str(done)
        assert list(connection.scalars(sa.select(model.id))) == [2]
        for name in ("Event_embedding_state", "Event_embedding_next", "Event_embedding_next_state"):
            side = metadata.tables[f"{schema}.{name}" if schema else name]
            assert list(connection.scalars(sa.select(side.c.key_0))) == [2]
    assert "DELETE FROM" in planned
