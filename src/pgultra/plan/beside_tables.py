"""
What a script makes where there is no database to ask: all that SQLAlchemy does not make.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import Identity, Index
from pgultra.plan.compare import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import MetaData

    from pgultra.objects import DatabaseObject

__all__ = ["beside_tables"]


def beside_tables(metadata: MetaData, desired: Iterable[DatabaseObject]) -> Plan:
    """
    The steps that make objects beside tables which SQLAlchemy made.

    A column comes with its table. So does an index that stands on it, which is only marked.
    """
    with_tables = {
        Identity("index", table.schema, str(index.name), table.name)
        for table in metadata.tables.values()
        for index in table.indexes
    }
    return Plan(
        tuple(
            Step(_unmarked(each) if each.identity in with_tables else None, each)
            for each in desired
            if not (each.later or each.of_its_table)
        )
    )


def _unmarked(each: DatabaseObject) -> DatabaseObject | None:
    return dataclasses.replace(each, mark=None) if isinstance(each, Index) else None
