"""
What the scenes speak through.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_numbers = count(1)


def scene(title: str) -> None:
    """
    Begin a scene.
    """
    print(f"\n{next(_numbers)}. {title}\n{'─' * 78}")


def table(rows: Iterable[Iterable[Any]]) -> None:
    """
    Show rows in columns; numbers with a fraction are cut to two places.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("   ", "  ".join(map(str.ljust, row, widths)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
