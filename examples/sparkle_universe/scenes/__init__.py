"""
What the application shows, in this order.
"""

from __future__ import annotations

from scenes.deletion import deletion
from scenes.searching import searching
from scenes.start import start
from scenes.time import two_years

__all__ = ["deletion", "searching", "start", "two_years"]
