"""
What a worker did, as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Worked"]


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
