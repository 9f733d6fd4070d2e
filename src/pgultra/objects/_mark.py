"""
Whose an object is, as the last line of its comment says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pgultra.errors import DeclarationError

__all__ = ["Mark", "mark_of"]

_WORD = re.compile(r"[a-z0-9_]+")
_MARK = re.compile(r"pgultra:([a-z0-9_]+):([a-z0-9_]+)(?: ([0-9a-f]+)(?::([0-9a-f]+))?)?")


@dataclass(frozen=True, slots=True)
class Mark:
    r"""
    Ownership: the last line of an object's comment, ``pgultra:<application>:<room>``.

    A user's own text above it stays. Nouns whose text PostgreSQL prints anew carry a
    fingerprint of the declared text beside it, and views and indexes one of the printed text
    too: while both are the same, nothing was changed, and no server is asked how it would print it.

    Raises:
        DeclarationError: a word has other letters than a mark can have.

    >>> Mark.parse("The live ones.\npgultra:shop:soft_delete")[0]
    'The live ones.'
    >>> str(Mark.parse("pgultra:shop:soft_delete")[1])
    'pgultra:shop:soft_delete'
    """

    application: str
    room: str
    fingerprint: str | None = None
    printed: str | None = None

    def __post_init__(self) -> None:
        for word in (self.application, self.room):
            if not _WORD.fullmatch(word):
                raise DeclarationError(
                    f"an ownership mark needs lower-case letters, digits and _ only, not {word!r}: "
                    "set MetaData(info={'pgultra.app': 'my_app'})"
                )

    def __str__(self) -> str:
        beside = f" {self.fingerprint}" if self.fingerprint else ""
        beside += f":{self.printed}" if self.printed else ""
        return f"pgultra:{self.application}:{self.room}{beside}"

    @classmethod
    def parse(cls, comment: str | None) -> tuple[str | None, Mark | None]:
        """
        Split a comment into the user's text and the mark.
        """
        if not comment:
            return None, None
        text, _, last = comment.rpartition("\n")
        mark = _mark_in(last.strip())
        return (comment, None) if mark is None else (text or None, mark)


mark_of = lru_cache(maxsize=1024)(Mark)
"""The same mark, made once: most objects of a room bear it."""


@lru_cache(maxsize=1024)
def _mark_in(line: str) -> Mark | None:
    """
    The mark that a line is; most objects of a room bear the same one.
    """
    found = _MARK.fullmatch(line)
    return Mark(*found.groups()) if found else None
