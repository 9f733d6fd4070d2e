"""
Partitions: what a declared table costs, a month that goes, a run with nothing to do, conversion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import _partitions_convert, _partitions_declared, _partitions_upkeep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Figure
    from tests.fixtures.server import Server


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the room.
    """
    yield from _partitions_declared.figures(server)
    yield from _partitions_upkeep.figures(server)
    yield from _partitions_convert.figures(server)
