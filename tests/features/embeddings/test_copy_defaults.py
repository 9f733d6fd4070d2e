"""
Defaults in ``bulk_copy``: sent as an insert sends them, or refused.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from pgultra import DeclarationError
from pgultra.features.embeddings import VectorType, bulk_copy

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


class Colour(enum.Enum):
    RED = "r"


class Quoted(sa.types.TypeDecorator[str]):
    """
    A type whose values are stored as something else.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else f"<{value}>"


def table_of(type_: Any, default: Any) -> sa.Table:
    return sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", type_, default=default),
    )


def create(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION vector")
    table.metadata.create_all(engine)


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (Quoted(), "abc"),
        (Quoted(), lambda: "abc"),
        (sa.Enum(Colour), Colour.RED),
        (JSONB, dict),
        (VectorType(3, index=None), lambda: [1, 2, 3]),
        (sa.Text, lambda: None),
    ],
)
def test_defaults_pass_through_the_types(database: Database, type_: Any, default: Any) -> None:
    """The row that was copied is the one that an insert makes."""
    table = table_of(type_, default)
    engine, async_engine = database.engine(), database.async_engine()
    create(engine, table)

    async def load() -> None:
        async with async_engine.begin() as connection:
            assert await bulk_copy(connection, table, [{"id": 3}]) == 1

    asyncio.run(load())
    with engine.begin() as connection:
        connection.execute(table.insert(), {"id": 1})
        assert bulk_copy(connection, table, [{"id": 2}]) == 1
        found = connection.exec_driver_sql("SELECT value::text FROM thing").scalars().all()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_an_expression_is_refused(engine: sa.Engine) -> None:
    """COPY can send none, and NULL in its place would go unseen."""
    table = table_of(sa.DateTime(timezone=True), sa.func.now())
    create(engine, table)
    with engine.begin() as connection:
        with pytest.raises(DeclarationError, match=r"default of thing.value .* now\(\)"):
            bulk_copy(connection, table, [{"id": 1}])
        assert bulk_copy(connection, table, [{"id": 1, "value": None}]) == 1


def test_a_codec_of_the_host_may_read_vectors(engine: sa.Engine) -> None:
    """pgvector's own makes a Vector before the type sees it."""
    from pgvector.psycopg import register_vector

    table = table_of(VectorType(3, index=None), None)
    create(engine, table)
    with engine.begin() as connection:
        register_vector(connection.connection.driver_connection)
        connection.execute(table.insert(), {"id": 1, "value": [1, 2, 3]})
        raw = sa.text("SELECT value FROM thing").columns(value=VectorType(3))
        for statement in (raw, sa.select(table.c.value)):
            assert connection.execute(statement).scalar_one().to_list() == [1, 2, 3]
