"""
Tables for the tests of the search room.
"""

from __future__ import annotations

import sqlalchemy as sa

from pgultra.features.search import TSVectorType


def note_table(
    metadata: sa.MetaData, parts: object, *more: sa.Column[object], **options: object
) -> sa.Table:
    """
    A table with a vector.
    """
    return sa.Table(
        "note",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(80)),
        sa.Column("body", sa.Text),
        *more,
        sa.Column("search", TSVectorType(parts, **options)),
    )
