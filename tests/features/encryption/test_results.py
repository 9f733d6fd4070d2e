from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from psycopg.types.numeric import FloatLoader
from sqlalchemy.dialects import postgresql

from pgultra.features.encryption import Encrypted, Equality, KeyRing, binary_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.database import Database

RING = KeyRing("test_results", {1: bytes(range(32))})
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=dt.UTC)
ROW: dict[str, Any] = {
    "secret": "sealed", "number": 7, "big": 2**40, "small": -3, "flag": True, "text": "\u00fc",
    "raw": b"\x00\xff", "document": {"a": [1, None]}, "old_document": {"b": "c"}, "float": 0.1,
    "day": MOMENT.date(), "time": MOMENT.time(), "zoned_time": MOMENT.timetz(),
    "moment": MOMENT, "naive": MOMENT.replace(tzinfo=None), "length": "x  ",
    "span": dt.timedelta(days=-3, microseconds=5), "amount": decimal.Decimal("-12.3400"),
    "id": uuid.UUID(int=5),
}  # fmt: skip
SAFE = sa.Table(
    "safe",
    sa.MetaData(),
    sa.Column("secret", Encrypted(sa.String, RING, search=Equality())),
    sa.Column("number", sa.Integer),
    sa.Column("big", sa.BigInteger),
    sa.Column("small", sa.SmallInteger),
    sa.Column("flag", sa.Boolean),
    sa.Column("text", sa.Text),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("document", postgresql.JSONB),
    sa.Column("old_document", sa.JSON),
    sa.Column("float", sa.Double),
    sa.Column("day", sa.Date),
    sa.Column("time", sa.Time),
    sa.Column("zoned_time", sa.Time(timezone=True)),
    sa.Column("moment", sa.DateTime(timezone=True)),
    sa.Column("naive", sa.DateTime),
    sa.Column("length", sa.CHAR(3)),
    sa.Column("span", sa.Interval),
    sa.Column("amount", sa.Numeric(12, 4)),
    sa.Column("id", sa.Uuid),
)
UNSAFE = sa.Table(
    "unsafe",
    sa.MetaData(),
    sa.Column("secret", Encrypted(sa.String, RING)),
    sa.Column("rounded", sa.REAL),
)


class Formats:
    """
    Notes in which format each SELECT came.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.seen: list[int] = []
        sa.event.listen(engine, "after_cursor_execute", self.note)

    def note(self, connection: object, cursor: Any, statement: str, *_rest: object) -> None:
        if statement.startswith("SELECT") and cursor.description:
            self.seen.append(getattr(cursor, "_cursor", cursor).pgresult.fformat(0))


def repeated(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[list[Any]]:
    """
    Run a statement three times.
    """
    for _ in range(3):
        yield [tuple(row) for row in connection.execute(statement)]


def test_values_are_the_same_in_either_format(engine: sa.Engine) -> None:
    """
    The first run is in text, the next in binary, and every type gives the same Python value.
    """
    binary_results(engine)
    formats = Formats(engine)
    with engine.begin() as connection:
        SAFE.metadata.create_all(connection)
        connection.execute(sa.insert(SAFE), [ROW, dict.fromkeys(ROW)])
        formats.seen.clear()
        first, *others = repeated(connection, sa.select(SAFE))
    assert formats.seen == [0, 1, 1]
    assert first == [tuple(ROW.values()), (None,) * len(ROW)]
    assert others == [first, first]
    assert [list(map(type, rows[0])) for rows in others] == [list(map(type, first[0]))] * 2


def test_what_has_no_encrypted_column_is_left_alone(engine: sa.Engine) -> None:
    """
    Other statements of the engine stay in text, and so do types whose text is another value.
    """
    binary_results(engine)
    formats = Formats(engine)
    with engine.begin() as connection:
        for table in (SAFE, UNSAFE):
            table.metadata.create_all(connection)
        connection.execute(sa.insert(SAFE), ROW)
        connection.execute(sa.insert(UNSAFE).values(secret="s", rounded=0.1))
        formats.seen.clear()
        for _ in repeated(connection, sa.select(SAFE.c.number)):
            pass
        assert list(repeated(connection, sa.select(UNSAFE))) == [[("s", 0.1)]] * 3
        streamed = connection.execution_options(stream_results=True)
        for statement in (sa.select(SAFE.c.secret), sa.select(SAFE.c.secret, SAFE.c.raw)):
            for rows in repeated(streamed, statement):
                assert rows[0][0] == "sealed"
    assert set(formats.seen) == {0}


def test_a_table_that_changes_meanwhile(engine: sa.Engine) -> None:
    """
    A statement whose types are no longer safe is run again in text.
    """
    binary_results(engine)
    statement = sa.select(SAFE.c.secret, SAFE.c.number)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        SAFE.metadata.create_all(connection)
        connection.execute(sa.insert(SAFE), ROW)
        assert list(repeated(connection, statement)) == [[("sealed", 7)]] * 3
        connection.exec_driver_sql("DEALLOCATE ALL")
        connection.exec_driver_sql("ALTER TABLE safe ALTER number TYPE real USING 0.1")
        assert list(repeated(connection, statement)) == [[("sealed", 0.1)]] * 3


def test_loaders_of_the_host(database: Database) -> None:
    """
    Who taught psycopg to read a type in another way goes on reading it that way.
    """

    class Rounded(FloatLoader):
        def load(self, data: Any) -> Any:
            return round(super().load(data), 1)

    engine = database.engine()
    sa.event.listen(
        engine, "connect", lambda raw, _record: raw.adapters.register_loader("numeric", Rounded)
    )
    binary_results(engine)
    with engine.begin() as connection:
        SAFE.metadata.create_all(connection)
        connection.execute(sa.insert(SAFE), ROW)
        amount = sa.type_coerce(SAFE.c.amount, sa.Double)
        found = list(repeated(connection, sa.select(SAFE.c.secret, amount)))
    assert found == [[("sealed", -12.3)]] * 3


async def test_async_engines(database: Database) -> None:
    """
    The same for psycopg's asyncio; asyncpg needs nothing and is left alone.
    """
    for driver, expected in (("psycopg", [0, 1, 1]), ("asyncpg", [])):
        engine = database.async_engine(driver)
        binary_results(engine)
        async with engine.begin() as connection:
            await connection.run_sync(SAFE.metadata.create_all)
            await connection.execute(sa.insert(SAFE), {"secret": driver})
            formats = Formats(engine.sync_engine) if driver == "psycopg" else None
            statement = sa.select(SAFE.c.secret).where(SAFE.c.secret == driver)
            for _ in range(3):
                assert (await connection.execute(statement)).scalars().all() == [driver]
            assert (formats.seen if formats else []) == expected
        await engine.dispose()
