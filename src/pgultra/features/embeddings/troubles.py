"""
What goes wrong for a worker: whose trouble it is, how long it lasts, and how it is told.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, StatementError

from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.embeddings.embedder import Embedder
from pgultra.plan.options import refused, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Table

__all__ = [
    "REFUSALS",
    "Attempt",
    "Unreadable",
    "default_wait",
    "insist_on_options",
    "insist_on_some",
    "of_the_row",
    "pause_asked_by",
    "told",
]

PLACE = "EmbeddingWorker"
MOST = 1_000_000
"""Of a batch and of attempts: a typing error is more likely than the wish for more."""

LONGEST_REST = 86_400.0
"""Seconds, a day: an endpoint that asks for more is asked again after so long."""

MOST_LETTERS = 2000
"""Of an error in the state table."""

REFUSALS = (StatementError, ValueError)
"""What a row that cannot be written raises; a driver gives the latter for a lone surrogate."""

ELSEWHERE = {"08", "25", "28", "3D", "40", "53", "57", "58", "XX"}
"""Classes of SQLSTATE that tell nothing of a row: connection, serialization, resources."""

ASKED_TO_STOP = "57014"
"""A statement that took too long, or was cancelled: it may be the row's trigger."""


class Unreadable(PgultraError):
    """
    Rows that wait, and that the worker's role cannot see.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(
            f"the worker cannot read this row of {table.fullname}: its role has no policy of row "
            "security that shows it; give it one, or BYPASSRLS, and call retry_failed"
        )


@dataclass
class Attempt:
    """
    What tenacity's wait strategies look at.
    """

    attempt_number: int


def default_wait() -> Callable[[Any], float]:
    """
    Random up to 2 seconds, 4, 8 and so on to an hour.
    """
    try:
        from tenacity import wait_random_exponential
    except ImportError:
        raise PgultraError(
            "EmbeddingWorker waits by tenacity: pip install 'pgultra[embedders]'"
        ) from None
    return wait_random_exponential(multiplier=2, max=3600)


def told(error: BaseException) -> str:
    """
    An error as a text that PostgreSQL takes; of a statement's, without the statement and values.
    """
    if isinstance(error, StatementError) and error.orig is not None:
        error = error.orig
    try:
        said = str(error)
    except Exception:  # a class of the host's, whose own text cannot be had
        said = "it cannot be shown"
    text = f"{type(error).__name__}: {said}".replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()[:MOST_LETTERS]


def pause_asked_by(error: BaseException) -> float:
    """
    For how many seconds an endpoint wants to be left alone; 0.0 where the error does not say.

    ``retry_after`` of the error counts where it is a finite number above 0; at most a day.
    """
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not 0 < asked < math.inf:
        return 0.0
    return float(min(asked, LONGEST_REST))


def of_the_row(error: Exception) -> bool:
    """
    Whether an error at write-back is that of a row, and not of the connection or the server.
    """
    if not isinstance(error, DBAPIError):
        return True
    state = sqlstate_of(error)
    if error.connection_invalidated or state is None:
        wrong_value = type(error).__name__ in ("DataError", "ProgrammingError", "NotSupportedError")
        return wrong_value and not error.connection_invalidated
    return state == ASKED_TO_STOP or state[:2] not in ELSEWHERE


def insist_on_some(errors: Sequence[Exception], attempts: Sequence[int]) -> None:
    """
    Raise where no row at all could be written for want of a right, a table or a column.

    That is for whoever runs the worker, and not of a row. Rows that were tried before are not
    raised for: one row cannot stop the worker again and again.

    Args:
        errors: one for each row that could not be written.
        attempts: of all rows of the batch.
    """
    if len(errors) == len(attempts) and max(attempts) == 1:
        for error in errors:
            if not isinstance(error, DBAPIError) or (sqlstate_of(error) or "")[:2] != "42":
                return
        raise errors[0]


def insist_on_options(
    engine: Any, embedder: Any, batch: Any, lease: Any, most_attempts: Any, wait: Any
) -> None:
    """
    Refuse what a worker cannot be made with.

    Raises:
        DeclarationError: an option takes something else.
    """
    if not callable(getattr(engine, "dispose", None)):  # a Session has begin(), too
        raise refused(PLACE, "engine", engine, "an Engine or an AsyncEngine")
    if isinstance(embedder, type) or not isinstance(embedder, Embedder):
        such = "an embedder, such as HashingEmbedder(384): it has model, dimensions and embed"
        raise refused(PLACE, "embedder", embedder, such)
    whole(PLACE, "batch", batch, 1, MOST)
    whole(PLACE, "most_attempts", most_attempts, 1, MOST)
    if not isinstance(lease, dt.timedelta) or lease <= dt.timedelta(0):
        raise refused(PLACE, "lease", lease, "a timedelta above 0, such as timedelta(minutes=5)")
    if wait is not None and not callable(wait):
        raise refused(PLACE, "wait", wait, "a wait strategy of tenacity, or None")
