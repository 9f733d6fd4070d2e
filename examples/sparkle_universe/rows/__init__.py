"""
Made-up rows, the same in every run.
"""

from __future__ import annotations

from rows.content import content
from rows.months import month, pay

__all__ = ["content", "month", "pay"]
