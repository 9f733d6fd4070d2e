"""
What a column with ``errors="quarantine"`` gives where a value does not open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgultra.errors import DecryptionError

__all__ = ["Quarantined"]


class Quarantined:
    """
    A value that does not open: it can be looked at, and refuses to be written.

    Attributes:
        error: the DecryptionError that would have been raised.
        sealed: the stored bytes, for whoever repairs them.

    >>> from pgultra.errors import DecryptionError
    >>> Quarantined(DecryptionError("person", "email", 3), b"...")
    <quarantined value of person.email, key 3>
    """

    __slots__ = ("error", "sealed")

    def __init__(self, error: DecryptionError, sealed: bytes) -> None:
        self.error = error
        self.sealed = sealed

    def __repr__(self) -> str:
        error = self.error
        return f"<quarantined value of {error.table}.{error.column}, key {error.key_id}>"

    def __bool__(self) -> bool:
        raise self.error

    def __str__(self) -> str:
        return repr(self)
