"""
Partitions by the number of rows, and by the number of partitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import _partitions_upkeep
from benchmarks.growth import ROWS, execute
from benchmarks.measure import Curve, grow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

CHILDREN = (12, 120, 360)


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    A month that goes, and a run that has nothing to do.
    """
    removed = {}
    for size in ROWS:
        removed[size] = next(_partitions_upkeep.months(engine, size, turns=2))
        execute(engine, "DROP TABLE event, plain")
        execute(engine, *(f"DROP TABLE {name}" for name in _detached(engine)))
    yield grow("removing a month from a year", "rows of a month", removed)
    idle = {}
    for children in CHILDREN:
        figure = _partitions_upkeep.idle(engine, children)
        idle[_partitions_upkeep.TABLES * children] = figure
        names = [f"event_{number}" for number in range(_partitions_upkeep.TABLES)]
        execute(engine, *(f"DROP TABLE {name}" for name in names))
    yield grow("maintain with nothing to do, 10 tables", "partitions", idle)


def _detached(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relname LIKE 'event_2025%%' AND relkind = 'r'"
        )
        return list(found.scalars())
