"""
``create_all`` and ``drop_all``: the only SQLAlchemy DDL events in the house.

The listeners sit on the class MetaData, so they reach every MetaData; each returns at
once when nothing is declared. What stood before stays as it is: ``create_all`` makes what
is missing, and migrations change what is there.

On the engine of ``create_mock_engine`` there is no database to ask: everything is emitted.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table, event
from sqlalchemy.engine.mock import MockConnection

from pgultra import sql
from pgultra.errors import PgultraWarning
from pgultra.objects import DatabaseObject, Function, Phase
from pgultra.objects._catalog import rows
from pgultra.plan.apply import apply, sorted_plan
from pgultra.plan.beside_tables import beside_tables
from pgultra.plan.canonical import comparable, with_details
from pgultra.plan.collect import is_translated, on_its_table, translated
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
from pgultra.plan.followers import is_follower, kept_beside
from pgultra.plan.needed import early, required, words_of_tables
from pgultra.plan.read import scope_of
from pgultra.plan.state import State
from pgultra.plan.words import words_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Connection

__all__ = ["listen"]

TURN = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(:key, 0))"
"""
One ``create_all`` of an application at a time, where there is something to do.

Two that replace a function at once make PostgreSQL raise "tuple concurrently updated". Tables
are SQLAlchemy's affair, and under AUTOCOMMIT nobody waits.
"""


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
    elif (
        not options.get("_is_metadata_operation")
        and declarations(target)
        and not is_follower(target)  # made with its host's
    ):
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
        if steps and not isinstance(connection, MockConnection):
            where = connection.get_execution_options().get("schema_translate_map") or {}
            place = sorted(f"{one}>{other}" for one, other in where.items())
            rows(connection, TURN, key=f"pgultra:create_all:{application_of(target)}:{place}")
            steps = _creating(target, connection, options).steps  # another one was quicker
        _run(early(steps, _tables(options)), connection)


def _after_create(
    target: MetaData, connection: Connection | MockConnection, **options: Any
) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        beside = _companions(options)
        for table in beside:
            table.create(connection, checkfirst=not isinstance(connection, MockConnection))
        options["tables"] = [*(options.get("tables") or ()), *beside]
        steps = _creating(target, connection, options).steps
        if isinstance(connection, MockConnection):  # what came before the tables is not seen
            made = early(steps, _tables(options))
            steps = tuple(step for step in steps if step not in made)
        _run(steps, connection)


def _tables(options: dict[str, Any]) -> list[Table]:
    """
    The tables that SQLAlchemy goes through.
    """
    return [table for table in options.get("tables") or () if isinstance(table, Table)]


def _companions(options: dict[str, Any]) -> list[Table]:
    """
    The tables that rooms keep beside these, where only some tables were asked for.
    """
    if options["_ddl_runner"].tables is None:
        return []
    asked = set(options["_ddl_runner"].tables)
    beside = (each for table in _tables(options) for each in kept_beside(table))
    return [each for each in dict.fromkeys(beside) if each not in asked]


def _run(
    steps: Iterable[Step], connection: Connection | MockConnection, *, keep_used: bool = False
) -> None:
    plan = sorted_plan(Plan(tuple(steps)))
    if isinstance(connection, MockConnection):
        for text in plan.statements():
            connection.execute(sql.statement(text))
    else:
        apply(plan, connection, keep_used=keep_used)


def _creating(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> Plan:
    """
    What is missing for the tables that are being created, and of the MetaData's own.
    """
    metadata, tables = _seen(target, connection, options)
    whole = options["_ddl_runner"].tables is None
    desired = State(_of(metadata, tables, whole=whole))
    if not whole:
        asked = [metadata.tables[key] for key in tables]
        spare = _of(metadata, (), whole=True)
        desired = State((*desired.values(), *required(asked, desired, spare)))
    if isinstance(connection, MockConnection):
        return beside_tables(metadata, desired.values())
    plan = _plan(metadata, desired, connection).insist()
    return Plan(
        tuple(
            step
            for step in plan.steps
            if step.after is not None
            and (step.verb in ("create", "mark") or isinstance(step.after, Function))
        )
    )


def _before_drop(target: MetaData, connection: Connection | MockConnection, **options: Any) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        beside = _companions(options)
        tables = [*(options.get("tables") or ()), *beside]
        _run(
            _leaving(target, connection, {**options, "tables": tables})[0],
            connection,
            keep_used=True,
        )
        for table in beside:  # some refer to the tables that go
            table.drop(connection, checkfirst=not isinstance(connection, MockConnection))


def _after_drop(target: MetaData, connection: Connection | MockConnection, **options: Any) -> None:
    if is_declared(target) and connection.dialect.name == "postgresql":
        first, last = _leaving(target, connection, options)
        if not isinstance(connection, MockConnection):  # what something used, then, is still there
            last += [step for step in first if step.subject.phase is Phase.BEFORE_TABLES]
        _run(last, connection, keep_used=True)


def _leaving(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> tuple[list[Step], list[Step]]:
    """
    What goes before the tables, since it may stand on them, and what goes after them.

    Some of it goes with the tables by itself. What they call, and what their triggers and
    the like call, goes after them.
    """
    metadata, keys = _seen(target, connection, options)
    tables = [table for table in metadata.tables.values() if table.key in keys]
    places = {(table.schema, table.name) for table in tables}
    first: list[Step] = []
    last: list[Step] = []
    called = words_of_tables(tables)
    functions = []
    for step in _dropping(target, connection, options).steps:
        subject = step.subject
        if isinstance(subject, Function):
            functions.append(step)
        elif subject.phase is Phase.BEFORE_TABLES:
            last.append(step)
        elif (subject.identity.schema, subject.identity.table) in places:
            called |= words_in(subject)
        else:
            first.append(step)
    for step in functions:
        (last if getattr(step.subject, "name", None) in called else first).append(step)
    return first, last


def _dropping(
    target: MetaData, connection: Connection | MockConnection, options: dict[str, Any]
) -> Plan:
    """
    What is ours of the tables that are being dropped, and of the MetaData's own.
    """
    metadata, tables = _seen(target, connection, options)
    whole = options["_ddl_runner"].tables is None
    going = State(_of(metadata, tables, whole=whole))
    if isinstance(connection, MockConnection):  # which cannot tell what others still use
        beside = {table.key for table in _companions(options)}  # these are gone with the others
        others = metadata.tables.keys() - tables - beside
        kept = State(_of(metadata, others, whole=False))
        return Plan(
            tuple(
                Step(each, None)
                for each in going.values()
                if each.dropped and each.identity not in kept
            )
        )
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
    tables = _tables(options)
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
            yield on_its_table(metadata, declaration).owned(application, BY_HAND)
        else:
            for each in declaration.objects(target):
                yield on_its_table(metadata, each).owned(application, declaration.room)
