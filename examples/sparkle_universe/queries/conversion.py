"""
Phase 7 of the seed once more: a table that has rows already is divided while it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra import partitions

if TYPE_CHECKING:
    from sqlalchemy import Engine


def divide(engine: Engine, model: type[Any]) -> int:
    """
    Make a partitioned table of a plain one, for good; how many rows were brought over.

    The seed renames the table, makes another LIKE it, copies and drops in one transaction,
    for which everybody waits: keys without the partition key end it, rows of other months
    have no place, and triggers and foreign keys stay behind.
    """
    with engine.connect() as connection:
        done = partitions.convert(connection, model)
        partitions.finish_conversion(connection, model)
    return done.rows
