"""
What is left to do where an object is made on a table that has rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pgultra.objects._base import Identity

__all__ = ["Advice"]


class Advice(NamedTuple):
    """
    A room's words for whoever makes or changes an object.

    Attributes:
        rows_of: the table whose rows are concerned; the words are said if it is there.
        text: what to do, in lines.
    """

    rows_of: Identity
    text: str
