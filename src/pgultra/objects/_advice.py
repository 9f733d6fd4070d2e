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
        table: whose rows are concerned; where it is not there yet, the words are not said.
        text: what to do, in lines.
    """

    table: Identity
    text: str
