"""
The whole question in one call: does this database hold what these models declare?
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

from pgultra.bridge import on_connection
from pgultra.errors import DeclarationError
from pgultra.objects import Function, Generation, Index, View
from pgultra.objects._catalog import rows
from pgultra.plan.advised import tables_that_are_there, with_fitting_advice
from pgultra.plan.apply import sorted_plan
from pgultra.plan.canonical import comparable, with_details
from pgultra.plan.collect import collect, is_translated
from pgultra.plan.compare import Conflict, Plan, compare
from pgultra.plan.declare import application_of, declarations, has_lost_declarations
from pgultra.plan.extensions import advice_of, warn_of_versions
from pgultra.plan.handed_back import handed_back
from pgultra.plan.options import shown
from pgultra.plan.read import home_of, own_transaction, scope_of
from pgultra.plan.rebuild import with_rebuilds
from pgultra.plan.recomputed import warn_of_recomputing
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from pgultra.objects import Identity
    from pgultra.plan.compare import Step
    from pgultra.plan.read import Home

__all__ = ["beside", "check"]

OWN_SCHEMAS = r"""
SELECT n.nspname
FROM pg_catalog.pg_namespace AS n
WHERE n.oid >= 16384
    AND pg_catalog.split_part(pg_catalog.obj_description(n.oid, 'pg_namespace'), E'\n', -1)
        LIKE ANY (:marks)
"""


@on_connection
def check(
    connection: Connection,
    metadata: MetaData | Sequence[MetaData],
    *,
    dropped_tables: Iterable[tuple[str | None, str]] = (),
    altered: Mapping[Identity, frozenset[str]] | None = None,
    released: Collection[Identity] = (),
    schemas: frozenset[str] | None = None,
    home: Home | None = None,
) -> Plan:
    """
    Compare models and database; an empty plan is "no drift".

    Reads catalogs only; no lock above ACCESS SHARE is taken on any table, and nothing is
    left behind.

    Args:
        connection: may be inside a transaction or not; with an AsyncConnection, await the
            result.
        metadata: whose declarations are asked for; several are judged together.
        dropped_tables: tables about to be dropped, whose objects count too.
        altered: columns about to be dropped or retyped, by table.
        released: tables, columns, indexes and checks that are about to let go of functions.
        schemas: limit for objects that sit on no table. Without it these are the default
            schema, those that the models or ``dropped_tables`` name, and those that pgultra
            made: what the same application keeps elsewhere, for each tenant say, is left out.
        home: what ``home_of`` said of these models, if it was asked already; a
            ``schema_translate_map`` of the connection does not matter then.

    Returns:
        the plan that would bring the database back, in an order that runs.

    Raises:
        UnsupportedServer: the server is too old.
        DeclarationError: the models contradict themselves, the connection has a
            ``schema_translate_map`` for them, or a table is a copy that lost its declarations.
    """
    several = [metadata] if isinstance(metadata, MetaData) else _several(metadata)
    if home is None:
        _insist_on_own_schemas(connection, several)
    applications = {application_of(each) for each in several}
    if len(applications) != 1:
        raise DeclarationError(
            f"MetaData of different applications ({', '.join(sorted(applications))}) cannot be "
            "judged together; check them one by one"
        )
    collected = [collect(each) for each in several]
    desired = collected[0] if len(several) == 1 else State(chain(*map(State.values, collected)))
    dropped_tables = list(dropped_tables)
    with own_transaction(connection):
        home = home or home_of(connection, several, desired)
        if schemas is None:
            schemas = _judged(connection, several, desired, home)
            schemas |= {schema for schema, _ in dropped_tables if schema is not None}
        scope = scope_of(
            connection,
            several,
            desired,
            application=applications.pop(),
            dropped_tables=dropped_tables,
            schemas=schemas,
            home=home,
        )
        warn_of_versions(connection, advice_of(desired.values()))
        sides = comparable(connection, desired, scope)
        plan = compare(sides.desired, sides.actual, sides.originals)
        plain = handed_back(plan, several, home)
        if plain:
            sides = comparable(connection, State((*desired.values(), *plain)), scope)
            plan = compare(sides.desired, sides.actual, sides.originals)
        if altered or any(_may_be_stood_on(step) for step in plan.steps):
            sides = with_details(connection, sides, scope)
            plan = compare(sides.desired, sides.actual, sides.originals)
        there = tables_that_are_there(connection, plan, scope.default_schema)
    warn_of_recomputing(sides)
    _insist_on_declarations(plan, several, home)
    plan = _with_their_tables(plan, dropped_tables, home)
    plan = with_rebuilds(plan, sides, altered, released)
    plan = with_fitting_advice(plan, there, sides.desired)
    plan = sorted_plan(plan, scope.default_schema)
    conflicts = (*plan.conflicts, *_beside(plan, home))
    return dataclasses.replace(plan, conflicts=conflicts, weaker=sides.weaker, sides=sides)


def _several(given: Any) -> list[MetaData]:
    """
    A sequence as a list; a declarative base is told from it.
    """
    found = list(given) if isinstance(given, Iterable) else [given]
    for each in found:
        if not isinstance(each, MetaData):
            held = isinstance(getattr(each, "metadata", None), MetaData)
            name = getattr(each, "__name__", "…")
            instead = f": give {name}.metadata" if held else ""
            raise DeclarationError(f"check: metadata={shown(each)} is no MetaData{instead}")
    return found


def _insist_on_own_schemas(connection: Connection, several: Sequence[MetaData]) -> None:
    """
    Do not answer for tables beside those that this connection works with.
    """
    schemas = connection.get_execution_options().get("schema_translate_map")
    if schemas and any(is_translated(each, schemas) for each in several):
        raise DeclarationError(
            "the schemas that the models name are compared, and this connection has a "
            "schema_translate_map that puts their tables elsewhere: set the search_path of a "
            "connection without one"
        )


def _insist_on_declarations(plan: Plan, several: Sequence[MetaData], home: Home) -> None:
    """
    Take nothing from a table because its copy, or pickle, came without the declarations.
    """
    gone = [step for step in plan.steps if step.after is None]
    if not gone:
        return
    tables = [table for each in several for table in each.tables.values()]
    known = {(table.schema or home, table.name) for table in tables if declarations(table)}
    lost = {(t.schema or home, t.name): t for t in tables if has_lost_declarations(t, of=t.name)}
    for step in gone:
        place = (step.identity.schema or home, step.identity.table)
        if place in lost.keys() - known:
            raise DeclarationError(
                f"table {lost[place].fullname} is a copy (to_metadata, pickle) of one with pgultra "
                f"declarations, which stayed with the original, and {step.identity} is theirs: "
                "give the original MetaData, or hand them on with "
                "pgultra.declare(copy, *plan.declarations(original))"
            )


def _with_their_tables(plan: Plan, dropped: Iterable[tuple[str | None, str]], home: Home) -> Plan:
    """
    Drop the indexes of tables that go in the same transaction, however they were built.
    """
    places = {(schema or home, name) for schema, name in dropped}
    return dataclasses.replace(
        plan,
        steps=tuple(
            dataclasses.replace(step, before=step.before.but(concurrently=False))
            if step.after is None
            and isinstance(step.before, Index)
            and (step.before.schema or home, step.before.table) in places
            else step
            for step in plan.steps
        ),
    )


def beside(home: Home) -> str | None:
    """
    Why nothing that names no schema can be made on this connection, if it cannot.

    What is there is looked for along the ``search_path``; what is made goes to its first
    schema, and would not be found beside the rest.
    """
    if home.first == home:
        return None
    where = f"would be made in {home.first}" if home.first is not None else "could not be made"
    return (
        f"it names no schema and {where}, while what is there is in {home}: "
        f"put {home} first in the search_path of this connection"
    )


def _beside(plan: Plan, home: Home) -> Iterator[Conflict]:
    reason = beside(home)
    if reason is None:
        return
    for step in plan.steps:
        made = step.after
        if made is None or step.only_marks or made.schema is not None:
            continue
        if made.identity.table is None and made.kind not in ("schema", "extension"):
            yield Conflict.of(step.identity, made, reason, refused=True)


def _may_be_stood_on(step: Step) -> bool:
    """
    Whether views or others may keep it from being done; functions may change their bodies.
    """
    if isinstance(step.before, Function):
        return not step.in_place
    return isinstance(step.before, View | Generation)


def _judged(
    connection: Connection, several: Sequence[MetaData], declared: Iterable[Identity], home: Home
) -> frozenset[str]:
    named = {table.schema for each in several for table in each.tables.values()}
    named |= {each.name if each.kind == "schema" else each.schema for each in declared}
    marks = [f"pgultra:{application_of(each)}:%".replace("_", r"\_") for each in several]
    made = {row.nspname for row in rows(connection, OWN_SCHEMAS, marks=marks)}
    return frozenset(name for name in (home, *named, *made) if name is not None)
