"""
The whole question in one call: does this database hold what these models declare?
"""

from __future__ import annotations

import dataclasses
from itertools import chain
from typing import TYPE_CHECKING

from sqlalchemy import MetaData

from pgultra.errors import DeclarationError
from pgultra.objects import Function, View
from pgultra.plan.apply import sorted_plan
from pgultra.plan.canonical import comparable, with_details
from pgultra.plan.collect import collect, is_translated
from pgultra.plan.compare import Plan, compare
from pgultra.plan.declare import application_of
from pgultra.plan.extensions import advice_of, warn_of_versions
from pgultra.plan.read import home_of, own_transaction, scope_of
from pgultra.plan.rebuild import with_rebuilds
from pgultra.plan.recomputed import warn_of_recomputing
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from pgultra.objects import Identity
    from pgultra.plan.compare import Step
    from pgultra.plan.read import Home

__all__ = ["check", "schemas_of"]


def check(
    connection: Connection,
    metadata: MetaData | Sequence[MetaData],
    *,
    dropped_tables: Iterable[tuple[str | None, str]] = (),
    altered: Mapping[Identity, frozenset[str]] | None = None,
    schemas: frozenset[str] | None = None,
    home: Home | None = None,
) -> Plan:
    """
    Compare models and database; an empty plan is "no drift".

    Reads catalogs only; no lock above ACCESS SHARE is taken on any table, and nothing is
    left behind.

    Args:
        connection: may be inside a transaction or not.
        metadata: whose declarations are asked for; several are judged together.
        dropped_tables: tables about to be dropped, whose objects count too.
        altered: columns about to be dropped or retyped, by table.
        schemas: limit for objects that sit on no table.
        home: what ``home_of`` said of these models, if it was asked already; a
            ``schema_translate_map`` of the connection does not matter then.

    Returns:
        the plan that would bring the database back, in an order that runs.

    Raises:
        UnsupportedServer: the server is too old.
        DeclarationError: the models contradict themselves, or the connection has a
            ``schema_translate_map`` for them.
    """
    several = [metadata] if isinstance(metadata, MetaData) else list(metadata)
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
    with own_transaction(connection):
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
        if altered or any(_may_be_stood_on(step) for step in plan.steps):
            sides = with_details(connection, sides, scope)
            plan = compare(sides.desired, sides.actual, sides.originals)
    warn_of_recomputing(sides)
    plan = with_rebuilds(plan, sides, altered)
    plan = sorted_plan(plan, scope.default_schema)
    return dataclasses.replace(plan, weaker=sides.weaker, sides=sides)


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


def _may_be_stood_on(step: Step) -> bool:
    """
    Whether views or others may keep it from being done; functions may change their bodies.
    """
    if isinstance(step.before, Function):
        return not step.in_place
    return isinstance(step.before, View)


def schemas_of(connection: Connection, metadata: MetaData | Sequence[MetaData]) -> frozenset[str]:
    """
    The schemas that these models live in: the default one, and those that they name.

    What the same application keeps in other schemas (one for each tenant, say) is not
    theirs to judge.
    """
    several = [metadata] if isinstance(metadata, MetaData) else list(metadata)
    named = {table.schema for each in several for table in each.tables.values()}
    for each in several:
        for identity in collect(each):
            named.add(identity.name if identity.kind == "schema" else identity.schema)
    with own_transaction(connection):
        default = home_of(connection, several)
    return frozenset(name for name in (default, *named) if name is not None)
