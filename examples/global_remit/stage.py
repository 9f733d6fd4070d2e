"""
How the example speaks.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 79


def scene(step: str, title: str, text: str) -> None:
    """
    Begin a scene: which step of the plan it is, what it is about, and what went wrong there.
    """
    print(f"\n{step}  {title}\n{'-' * (len(step) + len(title) + 2)}")
    say(text)


def say(text: str) -> None:
    """
    A sentence or two.
    """
    print(textwrap.fill(" ".join(text.split()), WIDTH))


def ask(question: str, rows: Iterable[Iterable[Any]]) -> None:
    """
    A question, and the rows that came.
    """
    print(f"  {question}")
    lines = [[shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        print(f"      {'   '.join(cells)}".rstrip())
    if not lines:
        print("      nothing")


def told(what: str, value: Any) -> None:
    """
    A single answer.
    """
    print(f"  {what}: {value}")


def shown(value: Any) -> str:
    """
    A value as a person reads it.
    """
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
