"""
What all models share: a base, what the server offers, and ``updated_at``.
"""

from __future__ import annotations

import os
from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated

from sqlalchemy import DateTime, MetaData, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra import Function, Trigger, declare, embeddings

VECTORS = os.environ.get("GLOBAL_REMIT_VECTORS") != "off"
"""Off on a server without pgvector: then no model has an embedding."""

EMBEDDER = embeddings.HashingEmbedder(1536)
"""It needs no network; a real model has 1,536 dimensions too, and is put here."""

MOMENT = DateTime(timezone=True)


class Base(DeclarativeBase):
    """
    The application's name is in the mark of all that it makes.
    """

    metadata = MetaData(info={"pgultra.app": "global_remit"})


class Timed:
    """
    When a row was made and when it was changed; `touched` sees to the latter.
    """

    created_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(MOMENT, server_default=func.now())


declare(
    Base,
    Function(
        name="touch",
        body="BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END",
        settings=(("search_path", "pg_catalog, pg_temp"),),
    ),
)


def touched(model: type[Base], *columns: str) -> None:
    """
    Declare the trigger that moves ``updated_at`` when one of these columns changes.

    It does not fire when the same values are written again, nor for what a worker writes
    into other columns.
    """
    old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("old", "new"))
    name = model.__tablename__
    declare(
        model,
        Trigger(
            name=f"{name}_touched",
            table=name,
            timing="BEFORE",
            events=("UPDATE",),
            when=f"ROW({old}) IS DISTINCT FROM ROW({new})",
            function="touch",
        ),
    )
