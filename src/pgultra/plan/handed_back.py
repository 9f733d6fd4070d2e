"""
What is handed back: indexes and checks of ours that the models now declare without pgultra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint

from pgultra import sql
from pgultra.objects import Check, Index
from pgultra.plan.collect import on_its_table

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from sqlalchemy import MetaData, Table

    from pgultra.objects import DatabaseObject
    from pgultra.plan.compare import Plan

__all__ = ["handed_back"]


def handed_back(
    plan: Plan, several: Iterable[MetaData], default_schema: str
) -> tuple[DatabaseObject, ...]:
    """
    The plain indexes and checks whose names the plan would drop, as unmarked objects.

    A ``unique_live`` that became an ``Index`` of the same name is still wanted: with the same
    definition it only loses its mark, and with another it is made anew.
    """
    going = {step.identity for step in plan.steps if step.after is None}
    if not any(each.kind in ("index", "check") for each in going):
        return ()
    return tuple(
        on_its_table(metadata, plain)
        for metadata in several
        for table in metadata.tables.values()
        for plain in _plain(table, {each.name for each in going})
        if _spelt(plain, default_schema).identity in going
    )


def _plain(table: Table, names: Container[str]) -> Iterator[Index | Check]:
    """
    Those of these names: others may be what only SQLAlchemy can make.
    """
    for index in table.indexes:
        if index.name in names:
            yield Index.of(index)
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name in names:
            assert isinstance(constraint.name, str)
            yield Check(
                name=constraint.name,
                table=table.name,
                schema=table.schema,
                condition=sql.render(constraint.sqltext, include_table=False),
            )


def _spelt(plain: Index | Check, default_schema: str) -> DatabaseObject:
    return plain.moved(None) if plain.schema == default_schema else plain
