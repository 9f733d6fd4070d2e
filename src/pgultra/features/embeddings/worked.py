"""
What a worker did and how a queue stands, as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

__all__ = ["QueueStatus", "Worked"]


@dataclass(frozen=True, slots=True)
class Worked:
    """
    What a worker did.

    Attributes:
        embedded: rows whose vector was written.
        changed: rows whose text changed while it was embedded; they wait again.
        failed: rows that were given back with an error.
        split: parents whose text was cut into chunks, where the table is one of chunks.

    Example:
        >>> Worked(2, 0, 1) + Worked(3, 1, 0)
        Worked(embedded=5, changed=1, failed=1, split=0)
    """

    embedded: int = 0
    changed: int = 0
    failed: int = 0
    split: int = 0

    def __add__(self, other: Worked) -> Worked:
        return Worked(
            self.embedded + other.embedded,
            self.changed + other.changed,
            self.failed + other.failed,
            self.split + other.split,
        )

    def __bool__(self) -> bool:
        return bool(self.embedded or self.changed or self.failed or self.split)


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """
    How an embedding column stands.

    Attributes:
        waiting: stale rows, those that somebody works on included.
        leased: rows that somebody works on.
        failed: rows that were given up; their errors are in the state table.
        embedded: rows whose vector is fresh.
        oldest: how long the oldest waiting row has been stale, or the oldest parent that waits
            to be split; None when none waits.
        unsplit: parents whose text waits to be split into chunks, where the table is one of
            chunks; those that failed count among the failed.

    Example:
        >>> QueueStatus(waiting=0, leased=0, failed=0, embedded=12, oldest=None).done
        True
    """

    waiting: int
    leased: int
    failed: int
    embedded: int
    oldest: dt.timedelta | None
    unsplit: int = 0

    @property
    def done(self) -> bool:
        """
        Whether nothing waits; what failed does not wait.
        """
        return self.waiting == 0 and self.unsplit == 0
