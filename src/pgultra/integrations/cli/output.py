"""
What the commands print with: plain text for pipes, colours for people.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["complain", "print_diff", "print_json", "screen", "warn"]

_HEADING = re.compile(r"^[a-z][a-z ,]*:")


def screen() -> Console:
    """
    Standard output as it is now (tests exchange it).
    """
    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def complain(message: str) -> None:
    """
    Say on standard error what went wrong.
    """
    _say("error: ", "bold red", message)


def warn(message: str) -> None:
    """
    Say on standard error what one should know.
    """
    _say("warning: ", "bold yellow", message)


def _say(word: str, style: str, message: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(Text(word, style=style) + Text(without_passwords(message)))


def print_json(value: Any) -> None:  # whatever json takes
    """
    Print a value as JSON, never coloured.
    """
    screen().file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_diff(lines: Iterable[str]) -> None:
    """
    Print what ``describe`` wrote, with the colours of a diff.
    """
    console = screen()
    for line in lines:
        console.print(Text(line, style=_style(line)))


def _style(line: str) -> str:
    inner = line[4:] if line.startswith("    ") else ""
    if inner.startswith(("---", "+++", "@@")):
        return "dim"
    if inner.startswith("+"):
        return "green"
    if inner.startswith("-"):
        return "red"
    return "bold" if _HEADING.match(line) else ""


_secrets: set[str] = set()


def keep_secret(word: str | None) -> None:
    """
    See to it that a password is not printed, whatever a driver says.
    """
    if word:
        _secrets.add(word)


def without_passwords(message: str) -> str:
    """
    A message with every password that was given masked.
    """
    for word in _secrets:
        message = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "***", message)
    return message
