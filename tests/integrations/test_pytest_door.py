from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from pgultra import DeclarationError, DriftError
from pgultra.integrations.pytest import assert_no_drift
from tests.plan.visits import visits

if TYPE_CHECKING:
    from tests.fixtures.database import Database


def test_no_drift_passes(connection: sa.Connection) -> None:
    """
    A database made from the models is accepted, by any spelling of the models.
    """
    metadata = visits()
    metadata.create_all(connection)
    base = type("Base", (DeclarativeBase,), {"metadata": metadata})
    for models in (metadata, base, [metadata, sa.MetaData()]):
        assert_no_drift(connection, models)


def test_drift_fails_with_a_diff(engine: sa.Engine) -> None:
    """
    The message shows what differs; the plan that repairs it comes with the error.
    """
    metadata = visits()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE visit DISABLE TRIGGER seen")
    with pytest.raises(DriftError, match="changed: trigger seen on visit") as caught:
        assert_no_drift(engine, metadata)
    assert isinstance(caught.value, AssertionError)
    assert "-ALTER TABLE visit DISABLE TRIGGER seen;" in str(caught.value)
    assert [step.identity.name for step in caught.value.plan] == ["seen"]


def test_the_transaction_goes_on(connection: sa.Connection) -> None:
    """
    What the test has written so far is still there afterwards.
    """
    visits().create_all(connection)
    connection.exec_driver_sql("INSERT INTO visit (name) VALUES ('Ann')")
    assert_no_drift(connection, visits())
    assert connection.exec_driver_sql("SELECT name FROM visit").scalar() == "ann"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_async_binds_are_awaited(database: Database, driver: str) -> None:
    """
    An async engine or connection is asked through its own driver.
    """
    visits().create_all(database.engine())
    engine = database.async_engine(driver)

    async def ask() -> None:
        await assert_no_drift(engine, visits())
        async with engine.connect() as connection:
            await assert_no_drift(connection, visits())
            await connection.exec_driver_sql("DROP VIEW far")
            with pytest.raises(DriftError, match="missing: view far"):
                await assert_no_drift(connection, visits())

    asyncio.run(ask())


def test_something_else_than_models(connection: sa.Connection) -> None:
    """
    A mistake in the call is no drift.
    """
    with pytest.raises(DeclarationError, match="assert_no_drift"):
        assert_no_drift(connection, 42)
