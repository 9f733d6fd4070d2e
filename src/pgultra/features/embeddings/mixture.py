"""
Vectors of two models in one column: they cannot be compared, so they are refused.

The side table keeps the model of each row. A row that waits counts for nothing here, whatever
its model was: it gets a new vector, and ``backfill(…, everything=True)`` makes all rows such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from pgultra.errors import DeclarationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pgultra.features.embeddings.embedder import Embedder
    from pgultra.features.embeddings.queue import Queue

__all__ = ["insist_on_declared", "insist_on_one_model", "insist_on_same_model"]


def insist_on_declared(queue: Queue, embedder: Embedder) -> None:
    """
    Refuse an embedder of other dimensions or another model than the column declares.

    Raises:
        DeclarationError: it is one.
    """
    column, type_ = queue.column, queue.type_
    if embedder.dimensions != type_.dimensions:
        raise DeclarationError(
            f"{column} has {type_.dimensions} dimensions, and the embedder {embedder.model} makes "
            f"{embedder.dimensions}"
        )
    if type_.model is not None and type_.model != embedder.model:
        raise DeclarationError(
            f"{column} declares the model {type_.model!r}, and the embedder is "
            f"{embedder.model!r}: vectors of two models cannot be compared; change model= and run "
            "backfill(), or take the declared embedder"
        )


def insist_on_same_model(connection: Connection, queue: Queue, embedder: Embedder) -> None:
    """
    Where no model is declared, refuse an embedder of another model than the fresh rows have.

    It looks through the state table, until it finds such a row: not for every batch.

    Raises:
        DeclarationError: there is a row of another model.
    """
    if queue.type_.model is not None:
        return
    state = queue.state.c
    fresh = (state.stale_since.is_(None), state.model != embedder.model)
    other = connection.scalar(select(state.model).where(*fresh).limit(1))
    if other is not None:
        raise DeclarationError(
            f"{queue.table.fullname}.{queue.column.name} declares no model and has vectors of "
            f"{other!r}, and the embedder {type(embedder).__name__} is {embedder.model!r}: "
            "vectors of two models cannot be compared. Take the embedder of the first; or declare "
            f"model={embedder.model!r} and run backfill(), which finds the rows of another model; "
            "or run backfill(…, everything=True) and stop the workers of the older model; or "
            "declare next_version=, to search the old vectors until all new ones are there"
        )


def insist_on_one_model(connection: Connection, queue: Queue) -> None:
    """
    Where no model is declared, refuse to guess which of two is the right one.

    Raises:
        DeclarationError: fresh rows are of two models.
    """
    state = queue.state.c
    both = select(func.min(state.model), func.max(state.model)).where(state.stale_since.is_(None))
    one, other = connection.execute(both).one()
    if one != other:
        raise DeclarationError(
            f"{queue.table.fullname}.{queue.column.name} declares no model and has vectors of "
            f"{one!r} and of {other!r}, which cannot be compared: declare model=, and backfill() "
            "finds the rows of the other; or say backfill(…, everything=True) for all rows"
        )
