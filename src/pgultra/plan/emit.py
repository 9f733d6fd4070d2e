"""
``create_all`` and ``drop_all``: the only SQLAlchemy DDL events in the house.

The listeners sit on the class MetaData, so they reach every MetaData; each returns at
once when nothing is declared. What stood before stays as it is: ``create_all`` makes what
is missing, and migrations change what is there.

On the engine of ``create_mock_engine`` there is no database to ask: everything is emitted.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table, event
from sqlalchemy.engine.mock import MockConnection

from pgultra import sql
from pgultra.errors import PgultraWarning
from pgultra.objects import DatabaseObject, Function, Index, Phase
from pgultra.plan.apply import apply, sorted_plan
from pgultra.plan.canonical import comparable, with_details
from pgultra.plan.collect import is_translated, translated
from pgultra.plan.compare import Plan, Step, compare
from pgultra.plan.declare import (
    BY_HAND,
    application_of,
    declarations,
    entries,
    has_lost_declarations,
    is_declared,
)
from pgultra.plan.extensions import advice_of, warn_of_versions
from pgultra.plan.order import words_of_function, words_of_schema_items
from pgultra.plan.read import scope_of
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Connection

__all__ = ["listen"]


def listen() -> None:
    """
    Register the listeners, once.
    """
    for name, function in (
        ("before_create", _before_create),
        ("after_create", _after_create),
        ("before_drop", _before_drop),
        ("after_drop", _after_drop),
    ):
        if not event.contains(MetaData, name, function):
            event.listen(MetaData, name, function)
    if not event.contains(Table, "after_create", _after_table):
        event.listen(Table, "after_create", _after_table)


def _after_table(target: Table, connection: Connection | MockConnection, **options: Any) -> None:
    """
    Warn of what ``Table.create()`` and copies leave out: SQLAlchemy does not tell the MetaData.
    """
    if has_lost_declarations(target):
        warnings.warn(
            f"table {target.fullname} is a copy (to_metadata) of one with pgultra declarations, "
            "which stayed with the original: the copy has no triggers, functions or other objects "
            "of them; hand them on with pgultra.declare(copy, *plan.declarations(original))",
            PgultraWarning,
            stacklevel=2,
        )
    elif not options.get("_is_metadata_operation") and declarations(target):
        warnings.warn(
            f"Table.create() made table {target.fullname} without the objects that are declared on "
            "it (triggers, functions and so on); use "
            "metadata.create_all(connection, tables=[table]), or make them now with "
            "plan.apply(plan.check(connection, metadata), connection)",
            PgultraWarning,
            stacklevel=2,
        )


def _before_create(
    target: MetaData, connection: Connection | MockConnection, **options: Any
) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        steps = _creating(target, connection, options).steps
        _run(_early(steps, options), connection)


def _after_create(
    target: MetaData, connection: Connection | MockConnection, **options: Any
) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        steps = _creating(target, connection, options).steps
        if isinstance(connection, MockConnection):  # what came before the tables is not seen
            early = _early(steps, options)
            steps = tuple(step for step in steps if step not in early)
        _run(steps, connection)


def _run(
    steps: Iterable[Step], connection: Connection | MockConnection, *, keep_used: bool = False
) -> None:
    plan = sorted_plan(Plan(tuple(steps)))
    if isinstance(connection, MockConnection):
        for text in plan.statements():
            connection.execute(sql.statement(text))
    else:
        apply(plan, connection, keep_used=keep_used)


def _early(steps: Iterable[Step], options: dict[str, Any]) -> list[Step]:
    """
    What tables may need.

    A function whose signature or SQL body names a coming table or view waits for it, unless a
    table's own expressions name the function; so does what names that function.
    """
    tables = [table for table in options.get("tables") or () if isinstance(table, Table)]
    steps = tuple(steps)
    coming = {table.name for table in tables}
    coming |= {step.identity.name for step in steps if step.identity.kind == "view"}
    wanted = _wanted_by(tables)
    early = []
    for step in steps:
        subject = step.subject
        if subject.phase is not Phase.BEFORE_TABLES:
            continue
        if (
            isinstance(subject, Function)
            and subject.name not in wanted
            and words_of_function(subject) & coming
        ):
            coming.add(subject.name)
            continue
        early.append(step)
    return early


def _creating(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> Plan:
    """
    What is missing for the tables that are being created, and of the MetaData's own.
    """
    metadata, tables = _seen(target, connection, options)
    desired = State(_of(metadata, tables, whole=options["_ddl_runner"].tables is None))
    if isinstance(connection, MockConnection):
        return Plan(tuple(_made(each) for each in desired.values() if not each.later))
    plan = _plan(metadata, desired, connection).insist()
    return Plan(
        tuple(
            step
            for step in plan.steps
            if step.after is not None
            and (step.verb in ("create", "mark") or isinstance(step.after, Function))
        )
    )


def _made(each: DatabaseObject) -> Step:
    """
    A step that makes an object; an index comes with its table and is only marked.
    """
    return Step(dataclasses.replace(each, mark=None) if isinstance(each, Index) else None, each)


def _before_drop(target: MetaData, connection: Connection | MockConnection, **options: Any) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        metadata, tables = _seen(target, connection, options)
        going = [table for table in metadata.tables.values() if table.key in tables]
        steps = _dropping(target, connection, options).steps
        _run([step for step in steps if _goes_first(step, going)], connection, keep_used=True)


def _goes_first(step: Step, going: list[Table]) -> bool:
    """
    Whether it stands on the tables that are dropped, and does not go with them by itself.

    That is true of a function too whose signature or SQL body names one of them, unless a
    table's own expressions name the function.
    """
    subject = step.subject
    if subject.phase is Phase.AFTER_TABLES:
        place = (subject.identity.schema, subject.identity.table)
        return place not in {(table.schema, table.name) for table in going}
    if isinstance(subject, Function) and subject.name not in _wanted_by(going):
        return bool(words_of_function(subject) & {table.name for table in going})
    return False


def _wanted_by(tables: Iterable[Table]) -> frozenset[str]:
    return words_of_schema_items(
        item for table in tables for item in (*table.columns, *table.constraints, *table.indexes)
    )


def _after_drop(target: MetaData, connection: Connection | MockConnection, **options: Any) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        steps = [
            step
            for step in _dropping(target, connection, options).steps
            if step.subject.phase is Phase.BEFORE_TABLES
        ]
        if isinstance(connection, MockConnection):  # what went before the tables is not seen
            going = [each for each in options.get("tables") or () if isinstance(each, Table)]
            steps = [step for step in steps if not _goes_first(step, going)]
        _run(steps, connection, keep_used=True)


def _dropping(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> Plan:
    """
    What is ours of the tables that are being dropped, and of the MetaData's own.
    """
    metadata, tables = _seen(target, connection, options)
    whole = options["_ddl_runner"].tables is None
    going = State(_of(metadata, tables, whole=whole))
    if isinstance(connection, MockConnection):
        return Plan(tuple(Step(each, None) for each in going.values() if each.dropped))
    scope = scope_of(connection, [metadata], going, application=application_of(metadata))
    sides = with_details(connection, comparable(connection, going, scope), scope)
    return Plan(
        tuple(
            Step(sides.actual[identity], None)
            for identity in sides.desired
            if identity in sides.actual
            and sides.actual[identity].dropped
            and (mark := sides.actual[identity].mark) is not None
            and mark.application == scope.application
        )
    )


def _plan(metadata: MetaData, desired: State, connection: Connection) -> Plan:
    scope = scope_of(connection, [metadata], desired, application=application_of(metadata))
    sides = comparable(connection, desired, scope)
    warn_of_versions(connection, advice_of(desired.values()))
    return compare(sides.desired, sides.actual, sides.originals)


def _seen(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> tuple[MetaData, Collection[str]]:
    """
    The MetaData and the keys of the tables, behind ``schema_translate_map`` if there is one.
    """
    tables = [table for table in options.get("tables") or () if isinstance(table, Table)]
    schemas = None
    if not isinstance(connection, MockConnection):  # which forgets its execution options
        schemas = connection.get_execution_options().get("schema_translate_map")
    if not schemas or not is_translated(target, schemas):
        return target, {table.key for table in tables}
    copy = translated(target, schemas)
    names = {(schemas.get(table.schema, table.schema), table.name) for table in tables}
    return copy, {t.key for t in copy.tables.values() if (t.schema, t.name) in names}


def _of(metadata: MetaData, tables: Collection[str], *, whole: bool) -> Iterator[DatabaseObject]:
    application = application_of(metadata)
    for target, declaration in entries(metadata):
        if target.key not in tables if isinstance(target, Table) else not whole:
            continue
        if isinstance(declaration, DatabaseObject):
            yield declaration.owned(application, BY_HAND)
        else:
            for each in declaration.objects(target):
                yield each.owned(application, declaration.room)
