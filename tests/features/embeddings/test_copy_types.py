"""
What ``bulk_copy`` makes of columns of all types: what an insert makes of them, or an error.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy.dialects import postgresql as pg

from pgultra import DeclarationError
from pgultra.features.embeddings import InvalidVector, VectorType, bulk_copy

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


class Colour(enum.Enum):
    RED = "r"


class Doubled(sa.types.TypeDecorator[Any]):
    """
    Ours, within another type.
    """

    impl = VectorType
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else [each * 2 for each in value]


class Lower(sa.types.TypeDecorator[str]):
    """
    A type whose values PostgreSQL computes.
    """

    impl = sa.Text
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.func.lower(bindvalue)


NOON = dt.datetime(2026, 1, 2, 12)  # noqa: DTZ001  # the session's zone decides
KEY = uuid.UUID(int=5)
TYPES: list[tuple[Any, Any]] = [
    (pg.MONEY(), "$1234.50"),  # eight letters are a number in binary
    (pg.MACADDR(), "08:00:2b:01:02:03"),
    (pg.BIT(8), "10101010"),
    (pg.TSVECTOR(), "a b"),
    (HALFVEC(3), [1, 2, 3]),
    (BIT(3), "101"),
    (VECTOR(3), [1, 2, 3]),
    (Doubled(3, index=None), [1, 2, 3]),
    (sa.Text().with_variant(VectorType(3, index=None), "postgresql"), [1, 2, 3]),
    (pg.ARRAY(sa.Enum(Colour, name="colour")), [Colour.RED]),
    (pg.ARRAY(sa.Numeric), [1.5]),
    (pg.ARRAY(sa.Uuid(as_uuid=False)), [str(KEY)]),
    (sa.Uuid(as_uuid=False), str(KEY)),
    (sa.Numeric(), 1.5),
    (sa.Numeric(), Decimal("1.25")),
    (sa.DateTime(), dt.date(2026, 1, 2)),
    (sa.DateTime(), NOON),
    (sa.DateTime(), NOON.replace(tzinfo=dt.UTC)),
    (sa.DateTime(timezone=True), NOON),
    (sa.DateTime(timezone=True), NOON.replace(tzinfo=dt.UTC)),
    (sa.DateTime(timezone=True), dt.date(2026, 1, 2)),
    (pg.INET(), "10.0.0.1/8"),
    (pg.CIDR(), "10.0.0.0/8"),
]


@pytest.mark.parametrize("embedding", [[1, 2, 3], None])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_copy_is_what_an_insert_is(
    database: Database, asynchronous: bool, embedding: list[int] | None
) -> None:
    """On psycopg, whatever it knows of the type, and wherever the session lives."""
    engine, other = database.engine(), database.async_engine("psycopg")
    home = "SET TIME ZONE 'Asia/Kolkata'"
    for number, (type_, value) in enumerate(TYPES):
        metadata = sa.MetaData()
        one = sa.Column("value", type_)
        key = sa.Column("id", sa.Integer, primary_key=True)
        vector = sa.Column("embedding", VectorType(3, index=None))
        table = sa.Table(f"thing_{number}", metadata, key, one, vector)
        rows = [
            {"id": 2, "value": value, "embedding": embedding},
            {"id": 3, "value": None, "embedding": embedding},
        ]

        async def load(table: sa.Table = table, rows: Any = rows) -> None:
            async with other.begin() as connection:
                await connection.exec_driver_sql(home)
                await bulk_copy(connection, table, rows)

        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
            connection.exec_driver_sql(home)
            metadata.create_all(connection)
            connection.execute(table.insert(), {**rows[0], "id": 1})
            if not asynchronous:
                bulk_copy(connection, table, rows)
        if asynchronous:
            asyncio.run(load())
        with engine.begin() as connection:
            inserted, copied, empty = connection.exec_driver_sql(
                f"SELECT value::text, embedding::text FROM thing_{number} ORDER BY id"
            ).all()
        assert copied == inserted, type_
        assert empty == (None, inserted[1])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_domain_of_domains_and_citext(
    engine: sa.Engine, database: Database, asynchronous: bool
) -> None:
    """What a domain is made of decides, at any depth; citext is a text, in arrays too."""
    with engine.begin() as connection:
        if not connection.scalar(
            sa.text("SELECT true FROM pg_available_extensions WHERE name = 'citext'")
        ):
            pytest.skip("the server has no citext")
        for each in (
            "CREATE EXTENSION vector",
            "CREATE EXTENSION citext",
            "CREATE DOMAIN one AS int",
            "CREATE DOMAIN two AS one",
            "CREATE TABLE thing (id two, mail citext, mails citext[], embedding vector(3))",
        ):
            connection.exec_driver_sql(each)
    table = sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer),
        sa.Column("mail", pg.CITEXT),
        sa.Column("mails", pg.ARRAY(pg.CITEXT)),
        sa.Column("embedding", VectorType(3, index=None)),
    )
    rows = [{"id": 1, "mail": "A@b", "mails": ["C@d"], "embedding": [1, 2, 3]}]

    async def load() -> None:
        async with database.async_engine().begin() as connection:
            await bulk_copy(connection, table, rows)
            assert await connection.scalar(sa.select(table.c.mail)) == "A@b"

    if asynchronous:
        asyncio.run(load())
    with engine.begin() as connection:
        if not asynchronous:
            bulk_copy(connection, table, rows)
        found = connection.exec_driver_sql("SELECT id, mail, mails::text[] FROM thing").one()
        assert found == (1, "A@b", ["C@d"])


@pytest.mark.parametrize("wrong", ["vector", "key"])
def test_asyncpg_tells_what_is_wrong(engine: sa.Engine, database: Database, wrong: str) -> None:
    """The error is that of the rows, and the transaction and its codecs are as before."""
    key = sa.Column("id", sa.Integer, primary_key=True)
    vector = sa.Column("embedding", VectorType(3, index=None))
    table = sa.Table("thing", sa.MetaData(), key, vector)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION vector")
    table.metadata.create_all(engine)
    rows: list[dict[str, Any]] = [{"id": 1, "embedding": [1, 2, 3]}, {"id": 2, "embedding": [1]}]
    if wrong == "key":
        rows[1] = {"id": 1, "embedding": None}

    async def load() -> None:
        async with database.async_engine().begin() as connection:
            told = (InvalidVector, "dimensions") if wrong == "vector" else (Exception, "duplicate")
            with pytest.raises(told[0], match=told[1]):
                await bulk_copy(connection, table, rows)
            assert await bulk_copy(connection, table, rows[:1]) == 1
            plain = await connection.exec_driver_sql("SELECT embedding FROM thing")
            assert plain.scalars().all() == ["[1,2,3]"]

    asyncio.run(load())


def test_what_postgresql_would_compute_is_refused(engine: sa.Engine) -> None:
    """COPY stores the value itself: of a type that encrypts in the server, the plain text."""
    table = sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", Lower),
    )
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        with pytest.raises(DeclarationError, match=r"thing.value is computed .*Lower.*insert\(\)"):
            bulk_copy(connection, table, [{"id": 1, "value": "A"}])
        assert bulk_copy(connection, table, [{"id": 1}]) == 1


def test_a_table_that_is_not_there_is_named(engine: sa.Engine) -> None:
    """As is a column that the database lacks, and a load that names none."""
    table = sa.Table("thing", sa.MetaData(), sa.Column("a name", sa.Integer, key="key"))
    with engine.begin() as connection:
        with pytest.raises(DeclarationError, match="no column 'a name' of thing"):
            bulk_copy(connection, table, [{"key": 1}])
        with pytest.raises(DeclarationError, match="name no column of thing"):
            bulk_copy(connection, table, [{}])
        table.create(connection)
        assert bulk_copy(connection, table, [{"key": 1}]) == 1
        assert bulk_copy(connection, table, [{"a name": 1}]) == 1
