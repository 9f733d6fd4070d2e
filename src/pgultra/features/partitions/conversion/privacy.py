"""
A table that is made for another one gives nobody more than that one does.
"""

from __future__ import annotations

from importlib.resources import files

from pgultra import sql
from pgultra.features.partitions.conversion.survey import scripted

__all__ = ["guarded", "revoked"]


def revoked(table: str) -> str:
    """
    The statement that takes all rights on a table from all but its owner.
    """
    return scripted("revoke", table=sql.literal(table))


def guarded(table: str, parent: str) -> str:
    """
    The statement that keeps others from reading a partition past its parent.

    PostgreSQL asks for the rights and policies of the table that is named; default privileges
    may have given more on the partition than anybody has on its parent.
    """
    rights = (files("pgultra.features.partitions") / "sql" / "rights.sql").read_text()
    return scripted("guard", table=sql.literal(table), parent=sql.literal(parent), rights=rights)
