from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from pgvector import Vector
from sqlalchemy.dialects.postgresql import JSONB

import pgultra
from pgultra import DeclarationError, PgultraError
from pgultra.features.embeddings import InvalidVector, Rules, VectorType, bulk_copy

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


METADATA = sa.MetaData()
THING = sa.Table(
    "Th%ing",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True, default=uuid.uuid4),
    sa.Column("small", sa.SmallInteger),
    sa.Column("big", sa.BigInteger),
    sa.Column("na me", sa.String, key="name"),
    sa.Column("colour", sa.Enum(Colour)),
    sa.Column("price", sa.Numeric(10, 2)),
    sa.Column("made", sa.DateTime(timezone=True)),
    sa.Column("more", JSONB),
    sa.Column("kind", sa.String, default="plain"),
    sa.Column("embedding", VectorType(3, index=None)),
)
pgultra.declare(THING, Rules("embedding"))

ROWS: list[dict[str, Any]] = [
    {
        "small": 7,
        "big": 2**40,
        "name": "a\tb",
        "colour": Colour.BLUE,
        "price": Decimal("1.25"),
        "made": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        "more": {"a": [1, None]},
        "embedding": np.array([1, 2, 3], dtype="f4"),
    },
    dict.fromkeys(("small", "big", "name", "colour", "price", "made", "more", "embedding")),
]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
async def test_rows_are_copied_through_their_types(
    engine: sa.Engine, database: Database, driver: str
) -> None:
    """
    Every usual type, NULL, Python defaults and hostile names, on all three drivers.
    """
    METADATA.create_all(engine)
    if driver == "psycopg":
        with engine.begin() as connection:
            assert bulk_copy(connection, THING, ROWS) == 2
    else:
        other = database.async_engine(driver.removesuffix("_async"))
        async with other.begin() as connection_:
            assert await bulk_copy(connection_, THING, iter(ROWS)) == 2
            vector = await connection_.scalar(
                sa.select(THING.c.embedding).where(THING.c.embedding.is_not(None))
            )
            assert vector == Vector([1, 2, 3])
    with engine.connect() as connection:
        found = connection.execute(sa.select(THING).order_by(THING.c.small)).mappings().all()
    wanted = {**ROWS[0], "embedding": Vector([1, 2, 3]), "kind": "plain", "more": {"a": [1, None]}}
    assert {key: found[0][key] for key in wanted} == wanted
    assert found[1]["embedding"] is None
    assert found[0]["id"] != found[1]["id"]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
async def test_rows_go_where_the_tenant_is(
    engine: sa.Engine, database: Database, driver: str
) -> None:
    """
    A schema_translate_map holds for COPY too: the table of the same name beside gets nothing.
    """
    tenant = {"schema_translate_map": {None: 'Ten"ant %'}}
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema('Ten"ant %'))
    METADATA.create_all(engine.execution_options(**tenant))
    if driver == "psycopg":
        with engine.execution_options(**tenant).begin() as there:
            assert bulk_copy(there, THING, ROWS) == 2
    else:
        other = database.async_engine(driver.removesuffix("_async"))
        async with other.execution_options(**tenant).begin() as there_:
            assert await bulk_copy(there_, THING, ROWS) == 2
    count = sa.select(sa.func.count()).select_from(THING)
    with engine.connect() as connection:
        assert connection.scalar(count) == 0
        assert connection.execution_options(**tenant).scalar(count) == 2


def test_progress_is_told(engine: sa.Engine) -> None:
    """
    After every thousand rows and at the end; nothing happens for no rows.
    """
    METADATA.create_all(engine)
    told: list[int] = []
    rows = ({"embedding": [1, 2, n]} for n in range(2500))
    with engine.begin() as connection:
        assert bulk_copy(connection, THING, rows, progress=told.append) == 2500
        assert bulk_copy(connection, THING, [], progress=told.append) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(THING)) == 2500
    assert told == [1000, 2000, 2500]


def test_bad_rows_copy_nothing(engine: sa.Engine) -> None:
    """
    A vector that does not fit, an unknown key, keys that differ.
    """
    METADATA.create_all(engine)
    bad: list[tuple[type[Exception], list[Any]]] = [
        (InvalidVector, [{"embedding": [1, 2, 3]}, {"embedding": [1, 2]}]),
        (DeclarationError, [{"colours": 1}]),
        (DeclarationError, [{"name": "a"}, {"small": 1}]),
        (DeclarationError, [{"name": "a"}, {"name": "a", "small": 1}]),
        (DeclarationError, [("a", 1)]),
    ]
    for error, rows in bad:
        with pytest.raises(error), engine.begin() as connection:
            bulk_copy(connection, THING, rows)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(THING)) == 0


def test_other_drivers_are_refused() -> None:
    """
    The message names the ones that can.
    """
    engine = sa.create_mock_engine("postgresql+psycopg2://", print)
    with pytest.raises(PgultraError, match="psycopg or asyncpg"):
        bulk_copy(engine, THING, ROWS)  # type: ignore[call-overload]
