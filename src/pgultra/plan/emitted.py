"""
What a model emits, object by object: for documentation.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.schema import CreateTable

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects import DatabaseObject
from pgultra.plan.apply import sorted_plan
from pgultra.plan.collect import collect
from pgultra.plan.compare import Plan, Step
from pgultra.plan.declare import declarations
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["emitted_objects", "emitted_sql"]


def emitted_sql(target: Any, *, tables: bool = False) -> str:  # whatever a model may be
    r"""
    The SQL that a model emits beside its table, as one script; ownership marks left out.

    Args:
        target: a mapped class, a Table, a declarative base or a MetaData.
        tables: with the tables themselves.

    Raises:
        DeclarationError: it is none of these.

    >>> from sqlalchemy import MetaData
    >>> from pgultra import View, declare
    >>> metadata = MetaData()
    >>> declare(metadata, View(name="answer", query="SELECT 42 AS answer"))
    >>> print(emitted_sql(metadata))
    CREATE VIEW answer AS
    SELECT 42 AS answer;
    """
    return "\n\n".join(text for _, text in emitted_objects(target, tables=tables))


def emitted_objects(target: Any, *, tables: bool = False) -> list[tuple[str, str]]:
    """
    The same, as pairs of a name such as ``trigger seen on visit`` and its SQL.
    """
    found = list(_tables(target)) if tables else []
    wanted = [each for each in _objects(target).values() if not (tables and each.of_its_table)]
    plan = sorted_plan(Plan(tuple(Step(None, each) for each in wanted)))
    return found + [
        (str(step.identity), "".join(f"{text};\n" for text in _unmarked(step).statements()).strip())
        for step in plan
    ]


def _unmarked(step: Step) -> Step:
    assert step.after is not None  # all are made
    return Step(None, dataclasses.replace(step.after, mark=None))


def _objects(target: Any) -> State:
    table = _table(target)
    if table is None:
        return collect(_metadata(target))
    return State(_of(table))


def _of(table: Table) -> Iterable[DatabaseObject]:
    for declaration in declarations(table):
        if isinstance(declaration, DatabaseObject):
            yield declaration
        else:
            yield from declaration.objects(table)


def _tables(target: Any) -> Iterator[tuple[str, str]]:
    table = _table(target)
    for each in [table] if table is not None else _metadata(target).sorted_tables:
        text = str(CreateTable(each).compile(dialect=sql.dialect()))
        lines = (line.rstrip().replace("\t", "    ") for line in text.strip().splitlines())
        yield f"table {each.fullname}", "\n".join(lines) + ";"


def _table(target: Any) -> Table | None:
    if isinstance(target, Table):
        return target
    try:
        found = inspect(target).local_table
    except (NoInspectionAvailable, AttributeError):
        return None
    return found if isinstance(found, Table) else None


def _metadata(target: Any) -> MetaData:
    found = target if isinstance(target, MetaData) else getattr(target, "metadata", None)
    if isinstance(found, MetaData):
        return found
    raise DeclarationError(
        f"{target!r} is not a mapped class, a Table, a declarative base or a MetaData"
    )
