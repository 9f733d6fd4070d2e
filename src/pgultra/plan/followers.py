"""
Followers: tables of a room beside a host's, with rows that are nothing without the host's.

Foreign keys take them along where the host's rows are deleted. PostgreSQL detaches no partition
whose rows are referred to: who takes partitions away deletes what follows them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra.plan.declare import declarations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ForeignKeyConstraint, Table

__all__ = ["FOLLOWER", "followers_of", "is_follower", "kept_beside"]

FOLLOWER: dict[Any, Any] = {"pgultra_follower": True}
"""The ``info`` of such a table."""


def followers_of(table: Table) -> list[tuple[Table, ForeignKeyConstraint]]:
    """
    The followers of a table, each with its foreign key.

    Example:
        >>> from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
        >>> host = Table("host", MetaData(), Column("id", Integer, primary_key=True))
        >>> state = Table("state", host.metadata, Column("id", ForeignKey("host.id")),
        ...     info=FOLLOWER)
        >>> [each.name for each, _ in followers_of(host)]
        ['state']
    """
    return [
        (each, key)
        for each in table.metadata.tables.values()
        if is_follower(each)
        for key in each.foreign_key_constraints
        if key.referred_table is table
    ]


def is_follower(table: Table) -> bool:
    """
    Whether a room keeps it beside a host's table.
    """
    return FOLLOWER.items() <= table.info.items()


def kept_beside(table: Table) -> Iterator[Table]:
    """
    All tables that rooms keep beside a table: followers, and what declarations name.
    """
    for follower, _ in followers_of(table):
        yield follower
    for declaration in declarations(table):
        yield from getattr(declaration, "companions", lambda _: ())(table)
