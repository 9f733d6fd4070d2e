"""
Embeddings: the wire format against pgvector's own type, and ``nearest`` against exact scans.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from benchmarks import _vectors_near, _vectors_wire
from benchmarks.kernel import database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Figure
    from tests.fixtures.server import Server


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the room.
    """
    with prepared(server, "embeddings") as engine:
        yield from _vectors_wire.figures(engine)
    with prepared(server, "nearest") as engine:
        yield from _vectors_near.figures(engine)


@contextmanager
def prepared(server: Server, name: str) -> Iterator[sa.Engine]:
    """
    A database with pgvector.
    """
    with database(server, name) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE EXTENSION vector"))
        engine.dispose()
        yield engine
