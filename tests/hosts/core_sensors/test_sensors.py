from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hosts.stage import Host


@pytest.fixture
def service(host: Host) -> Any:
    """
    The service's functions.
    """
    return host.module("service")


@pytest.fixture
def database(host: Host) -> Iterator[sa.Connection]:
    """
    A transaction of the service, which is rolled back.
    """
    with host.engine().connect() as connection:
        yield connection
        connection.rollback()


def test_stations_close_with_their_sensors(
    service: Any, database: sa.Connection, host: Host
) -> None:
    """
    By an UPDATE in Core; a code is free again; and an upsert names the live index.
    """
    number = service.save(database, "ZUGS", "the top")
    assert number == 2
    service.close(database, "EDDB", "ann")
    assert (service.stations(database), service.sensors(database)) == (["ZUGS"], ["snow"])
    by = sa.text("SELECT DISTINCT deleted_by FROM sensor WHERE deleted_at IS NOT NULL")
    assert database.scalar(by) == "ann"
    service.reopen(database, "EDDB")
    assert service.sensors(database) == ["wind", "rain", "snow"]
    with pytest.raises(sa.exc.DBAPIError, match="soft"):
        database.execute(host.module("tables").sensor.delete())


def test_stations_are_found(service: Any, database: sa.Connection) -> None:
    """
    Those from before too; a closed one is not.
    """
    assert service.stations(database, "mountain") == ["ZUGS"]
    service.close(database, "ZUGS", "bob")
    assert service.stations(database, "mountain") == []


@pytest.mark.needs("vector")
def test_stations_are_found_by_meaning(service: Any, host: Host) -> None:
    """
    The worker takes a Core column.
    """
    tables = host.module("tables")
    worker = embeddings.EmbeddingWorker(host.engine(), tables.EMBEDDER, tables.station.c.embedding)
    assert worker.work().embedded == 2
    with host.engine().connect() as connection:
        assert service.near(connection, "the highest mountain") == "ZUGS"


def test_operators(service: Any, database: sa.Connection) -> None:
    """
    Written with executemany, found by address, and bound to their station.
    """
    service.hire(
        database,
        [
            {"station_id": 1, "email": "Ann@x.org", "phone": "030 1"},
            {"station_id": 2, "email": "bob@x.org", "phone": None},
        ],
    )
    assert service.phone(database, "ann@X.ORG") == "030 1"
    assert service.phone(database, "bob@x.org") is None
    stored = database.scalars(sa.text("SELECT phone FROM operator WHERE phone IS NOT NULL"))
    assert all(b"030" not in bytes(value) for value in stored)


def test_measurements(service: Any, database: sa.Connection) -> None:
    """
    Today's and tomorrow's have a partition each.
    """
    now = dt.datetime.now(dt.UTC)
    days = [now, now + dt.timedelta(days=1)]
    service.measure(database, [{"sensor_id": 1, "at": day, "reading": {"c": 7}} for day in days])
    homes = sa.text("SELECT count(DISTINCT tableoid) FROM measurement")
    assert database.scalar(homes) == 2
