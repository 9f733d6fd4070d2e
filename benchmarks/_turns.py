"""
How searches are timed that take a millisecond: one by one, each side in its turn.

On a busy machine ``PGULTRA_BENCH_CLOCK=cpu`` counts the processor time of both processes, ours
and the server's, instead of what the wall's clock says.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.measure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import sqlalchemy as sa

    from benchmarks.measure import Bar, Condition


class Both:
    """
    A clock of two processes: this one's thread, and the server's process of a connection.
    """

    def __init__(self, connection: sa.Connection) -> None:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        self.file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)

    def __call__(self) -> float:
        return int(os.pread(self.file, 100, 0).split()[0]) / 1e9 + time.thread_time()


class Timed(NamedTuple):
    """
    One side's seconds for each query, and its answers.
    """

    seconds: list[float]
    answers: list[Any]

    @property
    def median(self) -> float:
        """
        Of the seconds.
        """
        return statistics.median(self.seconds)

    @classmethod
    def of(cls, parts: Iterable[Timed]) -> Timed:
        """
        Several of one side as one.
        """
        parts = list(parts)
        return cls(
            [each for part in parts for each in part.seconds],
            [each for part in parts for each in part.answers],
        )


Blocks = dict[str, list[Timed]]
"""Of each side, one for each round."""


class Turns:
    """
    Sides that answer the same queries over one connection.
    """

    def __init__(self, connection: sa.Connection, queries: np.ndarray[Any, Any]) -> None:
        self.connection = connection
        self.queries = queries
        busy = os.environ.get("PGULTRA_BENCH_CLOCK") == "cpu"
        self.clock = Both(connection) if busy else time.perf_counter

    def timed(self, side: Callable[[Any], Any], query: Any, kept: Timed) -> None:
        """
        Ask one side once, and keep what it took and gave.
        """
        start = self.clock()
        found = side(query)
        kept.seconds.append(self.clock() - start)
        kept.answers.append(found)

    def turns(self, count: int, *sides: Callable[[Any], Any]) -> list[Timed]:
        """
        The sides take turns at each query; the first ten do not count.
        """
        kept = [Timed([], []) for _ in sides]
        for number, query in enumerate(self.queries[: count + 10]):
            for place, side in list(enumerate(sides))[:: 1 if number % 2 else -1]:
                self.timed(side, query, kept[place] if number >= 10 else Timed([], []))
        return kept

    def block(self, side: Callable[[Any], Any]) -> Timed:
        """
        One side goes through all queries by itself.

        Sides that read different pages would push each other's out of the server's memory. So
        each goes through all queries once before that counts.
        """
        kept = Timed([], [])
        for result in (Timed([], []), kept):
            for query in self.queries:
                self.timed(side, query, result)
        return kept

    def figure(
        self,
        name: str,
        sides: dict[str, Timed],
        bar: Bar | None,
        *,
        inverse: bool = False,
        note: str = "",
        conditions: tuple[Condition, ...] = (),
        **more: Any,
    ) -> Figure:
        """
        The ratio of the medians of two sides.
        """
        ours, theirs = list(sides)[:2]
        ratio = sides[ours].median / sides[theirs].median
        return Figure(
            name=name,
            ours=ours,
            theirs=theirs,
            seconds={label: side.median for label, side in sides.items()},
            spread={label: (min(side.seconds), max(side.seconds)) for label, side in sides.items()},
            ratio=1 / ratio if inverse else ratio,
            rounds=len(sides[ours].seconds),
            bar=bar,
            note=note,
            conditions=conditions,
            extra=more,
        )

    def rounds(self, count: int, sides: dict[str, Callable[[Any], Any]]) -> Blocks:
        """
        Blocks of each side, in turns.
        """
        blocks: Blocks = {label: [] for label in sides}
        for number in range(count):
            for label in list(sides)[:: 1 if number % 2 else -1]:
                blocks[label].append(self.block(sides[label]))
        return blocks

    def paired(self, name: str, blocks: Blocks, bar: Bar | None, **more: Any) -> Figure:
        """
        The median of the ratios of each round, for the machine drifts from one to the next
        (measure.py).
        """
        figure = self.figure(
            name, {label: Timed.of(each) for label, each in blocks.items()}, bar, **more
        )
        ours, theirs = list(blocks.values())[:2]
        figure.ratio = statistics.median(
            one.median / other.median for one, other in zip(ours, theirs, strict=True)
        )
        figure.rounds, figure.paired = len(ours), True
        return figure
