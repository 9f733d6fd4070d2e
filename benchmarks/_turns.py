"""
How searches are timed that take a millisecond: one by one, each side in its turn.

On a busy machine ``PGULTRA_BENCH_CLOCK=cpu`` counts the processor time of both processes, ours
and the server's, instead of what the wall's clock says.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Bar, Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import sqlalchemy as sa


class Both:
    """
    A clock of two processes: this one's thread, and the server's process of a connection.
    """

    def __init__(self, connection: sa.Connection) -> None:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        self.file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)

    def __call__(self) -> float:
        return int(os.pread(self.file, 100, 0).split()[0]) / 1e9 + time.thread_time()


class Turns:
    """
    Sides that answer the same queries over one connection.
    """

    def __init__(self, connection: sa.Connection, queries: np.ndarray[Any, Any]) -> None:
        self.connection = connection
        self.queries = queries
        busy = os.environ.get("PGULTRA_BENCH_CLOCK") == "cpu"
        self.clock = Both(connection) if busy else time.perf_counter

    def turns(self, count: int, *sides: Callable[[Any], Any]) -> list[tuple[float, list[Any]]]:
        """
        Median seconds and answers of each side; the sides take turns at each query.
        """
        times: list[list[float]] = [[] for _ in sides]
        answers: list[list[Any]] = [[] for _ in sides]
        for number, query in enumerate(self.queries[: count + 10]):
            for place, side in list(enumerate(sides))[:: 1 if number % 2 else -1]:
                start = self.clock()
                found = side(query)
                taken = self.clock() - start
                if number >= 10:
                    times[place].append(taken)
                    answers[place].append(found)
        return [(statistics.median(t), a) for t, a in zip(times, answers, strict=True)]

    def blocks(self, *sides: Callable[[Any], Any], rounds: int = 3) -> list[tuple[float, Any]]:
        """
        As ``turns``, but each side goes through all queries before the next one.
        """
        times: list[list[float]] = [[] for _ in sides]
        answers: list[list[Any]] = [[] for _ in sides]
        for number in range(rounds):
            for place, taken, found in self.block(number, sides):
                times[place] += taken
                answers[place] += found
        return [(statistics.median(t), a) for t, a in zip(times, answers, strict=True)]

    def block(
        self, number: int, sides: Sequence[Callable[[Any], Any]]
    ) -> Iterator[tuple[int, list[float], list[Any]]]:
        """
        One round: of each side in turn its place, and the times and answers of all queries.

        Sides that read different pages would push each other's out of the server's memory. So
        each goes through all queries once before that counts.
        """
        for place, side in list(enumerate(sides))[:: 1 if number % 2 else -1]:
            [(_, warm)] = self.turns(len(self.queries), side)
            assert warm
            times, answers = [], []
            for query in self.queries:
                start = self.clock()
                answers.append(side(query))
                times.append(self.clock() - start)
            yield place, times, answers

    def figure(
        self,
        name: str,
        sides: dict[str, tuple[float, Any]],
        bar: Bar | None,
        *,
        inverse: bool = False,
        **more: Any,
    ) -> Figure:
        (ours, one), (theirs, other) = list(sides.items())[:2]
        ratio = one[0] / other[0]
        return Figure(
            name=name,
            ours=ours,
            theirs=theirs,
            seconds={label: side[0] for label, side in sides.items()},
            spread={},
            ratio=1 / ratio if inverse else ratio,
            rounds=len(one[1]),
            bar=bar,
            extra=more,
        )

    def paired(
        self,
        name: str,
        sides: dict[str, Callable[[Any], Any]],
        bar: Bar | None,
        rounds: int = 7,
        **more: Any,
    ) -> Figure:
        """
        In blocks; the median of the ratios of each round, for the machine drifts from one round
        to the next (measure.py).
        """
        medians = []
        for number in range(rounds):
            taken = {place: times for place, times, _ in self.block(number, list(sides.values()))}
            medians.append([statistics.median(taken[place]) for place in range(len(sides))])
        (ours, theirs), columns = sides, list(zip(*medians, strict=True))
        return Figure(
            name=name,
            ours=ours,
            theirs=theirs,
            seconds={label: statistics.median(c) for label, c in zip(sides, columns, strict=True)},
            spread={label: (min(c), max(c)) for label, c in zip(sides, columns, strict=True)},
            ratio=statistics.median(one / other for one, other in medians),
            rounds=rounds,
            bar=bar,
            extra=more,
            paired=True,
        )
