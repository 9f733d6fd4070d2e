"""
What tables need: of all that is declared, and before they are made.

Found by the words of expressions and functions, since tables do not say what they call.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pgultra.objects import DatabaseObject, Function, Phase, Schema
from pgultra.plan.words import (
    names_of_types,
    words_at_run_time,
    words_checked,
    words_in,
    words_of_schema_items,
    words_of_signature,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Table

    from pgultra.plan.compare import Step
    from pgultra.plan.state import State

__all__ = ["early", "required", "words_of_tables"]


def early(steps: Iterable[Step], tables: Collection[Table]) -> list[Step]:
    """
    What tables may need: schemas, extensions, and the functions that they call.

    And functions that name nothing that is to come: a host's own listeners may need them. A
    function that does, and is called by one of the tables, is made without a look at its body.
    """
    steps = tuple(steps)
    coming = {table.name for table in tables} | set(names_of_types(tables))
    coming |= {step.identity.name for step in steps if step.identity.kind == "view"}
    called = _called_by(tables, steps, coming)
    late = _late(steps, coming, called)
    found = []
    for step in steps:
        subject = step.subject
        if isinstance(subject, Function):
            if subject.name in late:
                continue
            if words_checked(subject) & coming:
                step = dataclasses.replace(step, after=subject.but(unchecked=True))
        if subject.phase is Phase.BEFORE_TABLES:
            found.append(step)
    return found


def _late(
    steps: Iterable[Step], coming: Collection[str], called: Collection[str]
) -> Collection[str]:
    """
    The functions that name something to come, other such functions included.
    """
    late: set[str] = set()
    functions = [step.subject for step in steps if isinstance(step.subject, Function)]
    rest = [each for each in functions if each.name not in called]
    while found := [each for each in rest if words_checked(each) & {*coming, *late}]:
        late |= {each.name for each in found}
        rest = [each for each in rest if each.name not in late]
    return late


def _called_by(
    tables: Iterable[Table], steps: Iterable[Step], coming: Collection[str]
) -> Collection[str]:
    """
    The names in the tables' own expressions, and what the functions so named call in turn.
    """
    called = set(words_of_tables(tables))
    functions = [step.subject for step in steps if isinstance(step.subject, Function)]
    waiting = [each for each in functions if each.name in called]
    while waiting:
        words = words_at_run_time(waiting.pop())
        for each in functions:
            if each.name in words - called and not words_of_signature(each) & set(coming):
                called.add(each.name)
                waiting.append(each)
    return called


def words_of_tables(tables: Iterable[Table]) -> frozenset[str]:
    """
    The words of everything that SQLAlchemy makes with these tables.
    """
    return words_of_schema_items(
        item
        for table in tables
        for item in (table, *table.columns, *table.constraints, *table.indexes)
    )


def required(
    tables: Collection[Table], chosen: State, spare: Iterable[DatabaseObject]
) -> Iterator[DatabaseObject]:
    """
    What some of the tables and their objects need of what is declared on the MetaData.

    Args:
        tables: the tables that were asked for.
        chosen: the objects of these.
        spare: those of the MetaData.
    """
    spare = list(spare)
    words = words_of_tables(tables)
    needs = {Schema(name=table.schema).identity for table in tables if table.schema}
    waiting = list(chosen.values())
    while waiting:
        each = waiting.pop()
        words |= words_in(each)
        words |= words_at_run_time(each) if isinstance(each, Function) else frozenset()
        needs |= set(each.requires)
        if each.schema is not None:
            needs.add(Schema(name=each.schema).identity)
        if waiting:
            continue
        for other in tuple(spare):
            named = isinstance(other, Function) and other.name in words
            if other.identity in needs or named:
                spare.remove(other)
                waiting.append(other)
                yield other
