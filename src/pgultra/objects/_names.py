"""
What a name may be: a text that PostgreSQL keeps whole.
"""

from __future__ import annotations

from typing import Any

from pgultra import sql
from pgultra.errors import DeclarationError

__all__ = ["insist_on_name"]


def insist_on_name(kind: str, name: Any) -> None:
    """
    Insist on a name that PostgreSQL takes and does not cut.

    Args:
        kind: whose name it is, for the error.
        name: as it was declared.

    Raises:
        DeclarationError: it is no text, empty, or longer than 63 bytes.
    """
    if not isinstance(name, str) or not name or "\x00" in name:
        raise DeclarationError(f"{kind}: name={name!r} is not a name (a text that is not empty)")
    length = len(name.encode())
    if length > sql.NAME_BYTES:
        raise DeclarationError(
            f"{kind} {name}: the name has {length} bytes, and PostgreSQL cuts names after "
            f"{sql.NAME_BYTES}; choose a shorter one"
        )
