"""
What the weather service does with its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pgultra import embeddings, search, soft_delete
from tests.hosts.core_sensors.tables import EMBEDDER, measurement, operator, sensor, station

if TYPE_CHECKING:
    from collections.abc import Mapping


def stations(connection: sa.Connection, words: str | None = None) -> list[str]:
    """
    Codes of the live stations, perhaps those that are about some words.
    """
    statement = sa.select(station.c.code).where(soft_delete.alive(station)).order_by(station.c.id)
    if words is not None:
        statement = statement.where(search.match(station.c.words, words))
    return list(connection.scalars(statement))


def near(connection: sa.Connection, text: str) -> str | None:
    """
    The code of the station whose description is nearest.
    """
    (vector,) = EMBEDDER.embed([text])
    nearest = embeddings.nearest(sa.select(station.c.code), station.c.embedding, vector, k=1)
    return connection.execute(nearest).scalar()


def save(connection: sa.Connection, code: str, description: str) -> int:
    """
    Make a station, or describe it anew.
    """
    statement = insert(station).values(code=code, description=description)
    statement = soft_delete.on_conflict_live(
        statement, "code", set_={"description": statement.excluded.description}
    )
    return connection.execute(statement.returning(station.c.id)).scalar_one()


def close(connection: sa.Connection, code: str, by: str) -> None:
    """
    Close a station, and its sensors with it.
    """
    connection.execute(sa.select(sa.func.set_config("pgultra.actor", by, True)))
    live = (station.c.code == code) & soft_delete.alive(station)
    connection.execute(station.update().where(live).values(deleted_at=sa.func.now()))


def reopen(connection: sa.Connection, code: str) -> None:
    """
    Open it again, with the sensors that went with it.
    """
    gone = (station.c.code == code) & ~soft_delete.alive(station)
    connection.execute(station.update().where(gone).values(deleted_at=None))


def sensors(connection: sa.Connection) -> list[str]:
    """
    Kinds of the live sensors.
    """
    live = sa.select(sensor.c.kind).where(soft_delete.alive(sensor)).order_by(sensor.c.id)
    return list(connection.scalars(live))


def hire(connection: sa.Connection, operators: list[dict[str, Any]]) -> None:
    """
    Write operators, in one statement.
    """
    connection.execute(operator.insert(), operators)


def phone(connection: sa.Connection, email: str) -> str | None:
    """
    The telephone of an operator.
    """
    return connection.scalar(sa.select(operator.c.phone).where(operator.c.email == email))


def measure(connection: sa.Connection, rows: list[Mapping[str, Any]]) -> None:
    """
    Write measurements.
    """
    connection.execute(measurement.insert(), rows)
