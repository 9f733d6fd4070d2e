"""
How PostgreSQL would print what is desired: temporary twins, rolled back.

Only objects that exist are looked at; a missing one is a create anyway. A twin that
cannot be built means "changed". The live tables are locked with ACCESS SHARE at most.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.objects import KINDS, DatabaseObject, Function, Identity, Scope, View
from pgultra.objects._catalog import rows
from pgultra.plan.read import print_for, read, scratch, seen_from
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

__all__ = ["Comparable", "comparable", "with_details"]

MAY_MAKE_TWINS = """
SELECT NOT pg_catalog.pg_is_in_recovery()
    AND pg_catalog.current_setting('transaction_read_only') = 'off'
    AND pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') AS may
"""

WIDER_PATH = """
SELECT pg_catalog.set_config(
    'search_path', pg_catalog.concat_ws(
        ', ', nullif(pg_catalog.current_setting('search_path'), ''),
        CAST(:schema AS text), 'pg_temp'), true)
"""
"""
Names as the host sees them, and where that finds nothing, as we do.

Temporary tables last: one of the host's session is not the table that is declared.
"""

DENIED = "pgultra.denied"
"""A setting, for as long as the twins live: names of those that may not be made."""


@dataclass(frozen=True)
class Comparable:
    """
    Both sides in the same spelling.

    Attributes:
        desired: as ``read`` would return it.
        actual: as it was read.
        originals: what the models declared, by the identity of the desired.
        weaker: what could not be printed here (a replica, a role without TEMPORARY) and
            was judged by the fingerprint beside the mark: a change by hand is not seen.
    """

    desired: State
    actual: State
    originals: Mapping[Identity, DatabaseObject]
    weaker: tuple[Identity, ...] = ()


def comparable(
    connection: Connection,
    desired: State,
    scope: Scope,
    kinds: Sequence[type[DatabaseObject]] = KINDS,
) -> Comparable:
    """
    Read what exists, and bring what is desired into the form that PostgreSQL prints.
    """
    spelt = [(each.canonical(scope), each) for each in desired.values()]
    with seen_from(connection, scope):
        actual = read(connection, scope, kinds)
    printed, weaker = _printed(
        connection, [c for c, _ in spelt], actual, scope.default_schema, kinds
    )
    pairs = [(printed.get(id(c), c), original) for c, original in spelt]
    pairs = [
        (c.known_as(actual) if isinstance(c, Function) else c, original) for c, original in pairs
    ]
    return Comparable(
        desired=State(c for c, _ in pairs),
        actual=actual,
        originals={c.identity: original.printed_as(c) for c, original in pairs},
        weaker=weaker,
    )


def with_details(connection: Connection, sides: Comparable, scope: Scope) -> Comparable:
    """
    Ask what views have and what stands on what, once something is about to change.
    """
    known: dict[Identity, DatabaseObject] = {}
    with seen_from(connection, scope):
        for kind in (View, Function):
            found: list[Any] = [each for each in sides.actual.values() if type(each) is kind]
            known |= {each.identity: each for each in kind.with_details(connection, found, scope)}
    actual = State(known.get(identity, each) for identity, each in sides.actual.items())
    return dataclasses.replace(sides, actual=actual)


def _printed(
    connection: Connection,
    desired: list[DatabaseObject],
    actual: State,
    default_schema: str,
    kinds: Sequence[type[DatabaseObject]],
) -> tuple[dict[int, DatabaseObject], tuple[Identity, ...]]:
    """
    The printed forms of those that need a twin, by the id of the desired object.
    """
    names = (f"pgultra_twin_{number}" for number in count(1))
    twins = _twins(desired, actual, names, kinds)
    if not twins:
        return {}, ()
    if not rows(connection, MAY_MAKE_TWINS)[0].may:
        return _trusted([each for _, each, _ in twins], actual)
    with scratch(connection):
        rows(connection, WIDER_PATH, schema=sql.identifier(default_schema))
        result = _forms(connection, twins, default_schema, kinds)
        denied = _denied(connection, twins, result)
        # What was dumped and restored, or made again by a downgrade, was made from printed
        # text, and that may print differently once more: (ARRAY['a'::varchar])::text[].
        doubtful = [
            form
            for form in result.values()
            if form.printed and (old := actual.get(form.identity)) and not form.same_as(old)
        ]
        again = _forms(connection, _twins(doubtful, actual, names, kinds), default_schema, kinds)
    trusted, weaker = _trusted(denied, actual)
    for key, form in result.items():
        reprinted = again.get(id(form))
        if reprinted is not None and reprinted.same_as(actual[form.identity]):
            result[key] = reprinted
    return {**result, **trusted}, weaker


_Twin = tuple[str, Any, tuple[str, ...]]


def _twins(
    desired: Sequence[DatabaseObject],
    actual: State,
    names: Iterator[str],
    kinds: Sequence[type[DatabaseObject]],
) -> list[_Twin]:
    """
    Name, object and script of each twin that is needed.
    """
    by_kind: dict[type[DatabaseObject], list[Any]] = {kind: [] for kind in kinds}
    for each in desired:
        if type(each) in by_kind:
            by_kind[type(each)].append(each)
    return [twin for kind, some in by_kind.items() for twin in kind.twins(some, actual, names)]


def _forms(
    connection: Connection,
    twins: Sequence[_Twin],
    default_schema: str,
    kinds: Sequence[type[DatabaseObject]],
) -> dict[int, DatabaseObject]:
    """
    Make the twins, and give their printed forms by the id of their object.
    """
    if not twins:
        return {}
    connection.execute(sql.statement(_block(twins)))
    print_for(connection, default_schema)
    result: dict[int, DatabaseObject] = {}
    for kind in kinds:
        by_name = {name: each for name, each, _ in twins if type(each) is kind}
        if by_name:
            for name, form in kind.printed_forms(connection, by_name).items():
                result[id(by_name[name])] = form
    return result


def _denied(
    connection: Connection, twins: Sequence[_Twin], made: Mapping[int, DatabaseObject]
) -> list[Any]:
    """
    The objects whose twins this role may not make: it cannot read a table, say.
    """
    if all(id(each) in made for _, each, _ in twins):
        return []
    setting = rows(connection, f"SELECT pg_catalog.current_setting('{DENIED}', true) AS names")
    names = (setting[0].names or "").split()
    return [each for name, each, _ in twins if name in names]


def _block(twins: Sequence[_Twin]) -> str:
    """
    All twins in one round trip, each in a subtransaction of its own.
    """
    lines = ["BEGIN", "PERFORM pg_catalog.set_config('check_function_bodies', 'off', true);"]
    lines.append("PERFORM pg_catalog.set_config('client_min_messages', 'error', true);")
    for name, _, statements in twins:
        lines.append("BEGIN")
        lines += [f"EXECUTE {sql.literal(statement)};" for statement in statements]
        lines.append("EXCEPTION WHEN insufficient_privilege THEN")
        noted = f"concat_ws(' ', current_setting('{DENIED}', true), '{name}')"
        lines.append(f"PERFORM pg_catalog.set_config('{DENIED}', {noted}, true);")
        lines.append("WHEN OTHERS THEN NULL;")
        lines.append("END;")
    lines.append("END")
    return f"DO {sql.dollar(chr(10).join(lines))}"


def _trusted(
    desired: list[Any], actual: State
) -> tuple[dict[int, DatabaseObject], tuple[Identity, ...]]:
    """
    Without twins: an unchanged fingerprint beside the mark counts as unchanged.
    """
    result: dict[int, DatabaseObject] = {}
    weaker = []
    for each in desired:
        other = each.counterpart(actual)
        if other is not None and each.mark and other.mark:
            weaker.append(other.identity)
            if each.mark.fingerprint == other.mark.fingerprint:
                result[id(each)] = each.trusting(other)
    return result, tuple(weaker)
