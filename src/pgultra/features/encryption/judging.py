"""
Options of a type that contradict each other or the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.errors import DeclarationError
from pgultra.features.encryption.cipher import cipher_class
from pgultra.features.encryption.format import ALGORITHMS
from pgultra.features.encryption.search import check_searchable

if TYPE_CHECKING:
    from pgultra.features.encryption.model import Encrypted

__all__ = ["judge"]


def judge(of: Encrypted) -> None:
    """
    Refuse what cannot be honoured.

    Raises:
        DeclarationError: with what to change.
    """
    if of.algorithm not in ALGORITHMS:
        raise DeclarationError(f"algorithm is one of {', '.join(ALGORITHMS)}")
    cipher_class(ALGORITHMS[of.algorithm])
    if of.padding is not None and not 2 <= of.padding <= 65536:
        raise DeclarationError(f"padding is 2 to 65536 bytes, not {of.padding}")
    if of.errors not in ("raise", "quarantine"):
        raise DeclarationError(f"errors is 'raise' or 'quarantine', not {of.errors!r}")
    if of.subjects is not None and not of.context:
        raise DeclarationError("subjects needs a context whose first column names the subject")
    if of.search is not None:
        check_searchable(of.search, of.inner)
