"""
All measured turns as a pyperf suite, so that ``pyperf stats``, ``hist`` and ``compare_to`` work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Figure

__all__ = ["write"]


def write(path: Path, found: dict[str, list[Figure]]) -> None:
    """
    One benchmark for each side of each figure, with pyperf's record of the machine.
    """
    import pyperf

    benchmarks = [
        pyperf.Benchmark([pyperf.Run(values, metadata={"name": f"{room}: {figure.name}: {label}"})])
        for room, figures in found.items()
        for figure in figures
        for label, values in figure.samples.items()
        if all(value > 0 for value in values)
    ]
    if benchmarks:
        pyperf.BenchmarkSuite(benchmarks).dump(str(path), replace=True)
