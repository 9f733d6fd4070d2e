"""
Keeping plaintexts out of exceptions.

SQLAlchemy prints the parameters of a statement that failed. Once a statement runs, these
are sealed values; but where a parameter cannot be processed it prints what was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext

__all__ = ["listen"]


def listen() -> None:
    """
    Register the listener, once, when the first encrypted type is made.
    """
    if not event.contains(Engine, "handle_error", _hide):
        event.listen(Engine, "handle_error", _hide)


def _hide(context: ExceptionContext) -> None:
    """
    Take the parameters out of errors that were raised before they were sealed.

    Out of every error where the server seals: the passphrase is a parameter there.
    """
    error = context.sqlalchemy_exception
    if error is not None and (not isinstance(error, DBAPIError) or _holds_passphrase(context)):
        error.hide_parameters = True
        error.params = None


def _holds_passphrase(context: ExceptionContext) -> bool:
    compiled = getattr(context.execution_context, "compiled", None)
    owners = (
        getattr(each.callable, "__self__", None) for each in getattr(compiled, "binds", {}).values()
    )
    return any(getattr(owner, "sends_passphrase", False) for owner in owners)
