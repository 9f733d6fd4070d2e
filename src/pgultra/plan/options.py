"""
What an option of a declaration takes, said the same way by every room.

>>> whole("HNSW", "m", 16, 2, 100)
>>> whole("HNSW", "m", "16", 2, 100)
Traceback (most recent call last):
    ...
pgultra.errors.DeclarationError: HNSW: m='16' is not a whole number from 2 to 100
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, select
from sqlalchemy.exc import ArgumentError

from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "flag",
    "insist_on_mixin",
    "named",
    "names",
    "one_of",
    "refused",
    "seconds",
    "selected",
    "text",
    "whole",
]

FOR_EVER = 1e10
"""Seconds, some 300 years: beyond that it is no duration."""
LONGEST = 80
"""Characters of a value that an error shows."""


def shown(value: Any) -> str:
    """
    A value as an error shows it, cut where it is long.
    """
    try:
        spelt = repr(value)
    except Exception:  # a host's own repr may raise anything; the error is about the option
        spelt = f"<{type(value).__name__}>"
    return spelt if len(spelt) <= LONGEST else f"{spelt[: LONGEST - 1]}…"


def refused(place: str, option: str, value: Any, takes: str) -> DeclarationError:
    """
    The error for a value that an option does not take.

    Args:
        place: the declaration, such as ``HNSW``; "" if it is not known.
        option: the option's name.
        value: what it was given.
        takes: what it takes, after "is not".
    """
    before = f"{place}: " if place else ""
    return DeclarationError(f"{before}{option}={shown(value)} is not {takes}")


def insist_on_mixin(class_: type, attribute: str, mixin: type, *kinds: type) -> None:
    """
    Insist that a class which has the rules of a mixin inherits it: else nobody reads them.

    Raises:
        DeclarationError: it does not.
    """
    if isinstance(class_.__dict__.get(attribute), kinds) and not issubclass(class_, mixin):
        raise DeclarationError(
            f"class {class_.__name__} says {attribute}, which {mixin.__name__} alone reads: write "
            f"class {class_.__name__}({mixin.__name__}, ...), or take it out"
        )


def flag(place: str, **options: Any) -> None:
    """
    Insist that options are True or False.

    Raises:
        DeclarationError: one is something else.
    """
    for option, value in options.items():
        if not isinstance(value, bool):
            raise refused(place, option, value, "True or False")


def whole(place: str, option: str, value: Any, low: int, high: int) -> None:
    """
    Insist on a whole number between two, these included.

    Raises:
        DeclarationError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise refused(place, option, value, f"a whole number from {low} to {high}")


def seconds(place: str, option: str, value: Any) -> None:
    """
    Insist on a number of seconds above 0.

    Raises:
        DeclarationError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < FOR_EVER:
        raise refused(place, option, value, "a number of seconds above 0")


def one_of(place: str, option: str, value: Any, allowed: Iterable[str]) -> None:
    """
    Insist on one of some words.

    Raises:
        DeclarationError: it is something else.
    """
    words = tuple(allowed)
    if not isinstance(value, str) or value not in words:
        raise refused(place, option, value, f"one of {', '.join(map(repr, words))}")


def text(place: str, option: str, value: Any, what: str = "a text") -> None:
    """
    Insist on a text that is not empty.

    Raises:
        DeclarationError: it is something else.
    """
    if not isinstance(value, str) or not value or "\x00" in value:
        raise refused(place, option, value, what)


def named(place: str, **options: Any) -> None:
    """
    Insist that options are names, or None.

    Raises:
        DeclarationError: one is something else.
    """
    for option, value in options.items():
        if value is not None:
            text(place, option, value, "a name (a text that is not empty)")


def names(place: str, option: str, value: Any, example: str) -> tuple[str, ...]:
    """
    Several names as a tuple: a list or tuple of texts.

    Raises:
        DeclarationError: it is something else.
    """
    several = isinstance(value, list | tuple)
    if not several or not all(isinstance(each, str) and each for each in value):
        raise refused(place, option, value, f"a tuple or list of names, such as {example}")
    return tuple(value)


def selected(place: str, option: str, given: Any) -> Select[Any]:
    """
    A select, or what can be selected, as a select.

    Raises:
        DeclarationError: it is something else.
    """
    if isinstance(given, Select):
        return given
    try:
        if given is None or isinstance(given, int | float):  # which SQLAlchemy takes for literals
            raise ArgumentError
        return select(given)
    except ArgumentError:
        raise refused(place, option, given, "a select, a mapped class or a table") from None
