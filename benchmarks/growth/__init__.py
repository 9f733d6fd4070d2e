"""
How the headline figures of each room grow: the same two sides at 10k, 100k and 1M rows.

Objects are counted in hundreds: no schema has a million triggers. A room's file here has one
function ``curves(engine) -> Iterator[Curve]``; a database of its own is made for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from benchmarks.kernel import database

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from benchmarks.measure import Curve
    from tests.fixtures.server import Server

__all__ = ["ROWS", "curves", "execute"]

ROWS = (10_000, 100_000, 1_000_000)


def curves(room: str, server: Server) -> Iterator[Curve]:
    """
    A room's curves; nothing where it has none.
    """
    if room in {module.name for module in pkgutil.iter_modules(__path__)}:
        with database(server, f"{room}_growth") as engine:
            yield from importlib.import_module(f"{__name__}.{room}").curves(engine)


def execute(engine: sa.Engine, *statements: str) -> None:
    """
    Statements as they are, each in a transaction of its own.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))
