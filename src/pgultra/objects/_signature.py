"""
What stands before a function's body: arguments without defaults, and settings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pgultra import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["settings_of", "without_defaults"]

LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
"""Settings whose stored value is a list of quoted names, which is SQL as it stands."""
PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[\w$]+|.""", re.DOTALL)


def settings_of(stored: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """
    Names and values as SQL, from ``proconfig``.
    """
    pairs = (text.partition("=") for text in stored)
    return tuple((name, value if name in LISTS else sql.literal(value)) for name, _, value in pairs)


def without_defaults(arguments: str) -> str:
    """
    Cut the defaults off an argument list, for ``DROP`` and ``COMMENT``.

    >>> without_defaults("a integer DEFAULT(1), b text='x, y', c text")
    'a integer, b text, c text'
    """
    if "default" not in arguments.lower() and "=" not in arguments:
        return arguments
    kept, depth, skipping = [], 0, False
    for piece in PIECE.findall(arguments):
        if piece in "([":
            depth += 1
        elif piece in ")]":
            depth -= 1
        elif depth == 0 and piece == ",":
            skipping = False
        elif depth == 0 and (piece == "=" or piece.lower() == "default"):
            skipping = True
        if not skipping:
            kept.append(piece)
    return " ".join("".join(kept).split()).replace(" ,", ",")
