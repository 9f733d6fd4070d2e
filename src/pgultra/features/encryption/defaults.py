"""
Python-side defaults, which are taken before a row is sealed and not while it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column

__all__ = ["MISSING", "default_of"]

MISSING: Any = object()
"""No value, which is not None."""


class _AskedError(Exception):
    """
    A default asked for the statement that it is taken in.
    """


class _NoStatement:
    """
    What stands for SQLAlchemy's execution context: there is none yet.
    """

    def __getattr__(self, name: str) -> Any:
        raise _AskedError


def default_of(column: Column[Any]) -> Any:
    """
    What ``default=`` gives for one row; ``MISSING`` where only the statement can tell.
    """
    default = column.default
    if default is None:
        return MISSING
    if default.is_callable:
        try:
            return default.arg(_NoStatement())  # type: ignore[attr-defined]  # a callable default has one
        except _AskedError:
            return MISSING
    if default.is_scalar:
        return default.arg  # type: ignore[attr-defined]  # a scalar default has one
    return MISSING
