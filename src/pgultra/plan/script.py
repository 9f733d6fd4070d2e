"""
From MetaData to a script: what ``create_all`` would run on an empty database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import DDL, create_mock_engine

from pgultra import sql
from pgultra.plan.apply import sorted_plan
from pgultra.plan.beside_tables import beside_tables
from pgultra.plan.collect import collect

if TYPE_CHECKING:
    from sqlalchemy import MetaData

__all__ = ["script"]


def script(metadata: MetaData, *, tables: bool = True) -> tuple[str, ...]:
    r"""
    The statements that make everything, in order, without semicolons.

    Args:
        metadata: whose tables and objects are made.
        tables: False leaves out what is SQLAlchemy's own.

    >>> from sqlalchemy import MetaData
    >>> from pgultra import View, declare
    >>> metadata = MetaData()
    >>> declare(metadata, View(name="answer", query="SELECT 42 AS answer"))
    >>> script(metadata)[0]
    'CREATE VIEW answer AS\nSELECT 42 AS answer'
    """
    if not tables:
        return sorted_plan(beside_tables(metadata, collect(metadata).values())).statements()
    found: list[str] = []

    def keep(element: Any, *_: Any) -> None:  # whatever create_all executes
        text = str(element.compile(dialect=sql.dialect()))
        if not isinstance(element, DDL):  # SQLAlchemy's layout; ours is kept to the last space
            text = "\n".join(line.rstrip() for line in text.strip().splitlines())
        found.append(text)

    metadata.create_all(create_mock_engine("postgresql://", keep))
    return tuple(found)
