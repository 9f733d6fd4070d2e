"""
From a connection to State: what exists and is ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Self

from pgultra import sql
from pgultra.errors import UnsupportedServer
from pgultra.objects import KINDS, Scope
from pgultra.objects._catalog import marked_oids, rows
from pgultra.plan.collect import collect
from pgultra.plan.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, MetaData

    from pgultra.objects import DatabaseObject

__all__ = ["home_of", "read", "scope_of"]

OLDEST_SERVER = 150000

SETTINGS = """
SELECT pg_catalog.current_setting('server_version_num')::int AS version,
    pg_catalog.current_setting('server_version') AS version_text,
    coalesce(
        (SELECT s.name
            FROM pg_catalog.unnest(pg_catalog.current_schemas(false))
                WITH ORDINALITY AS s (name, place)
            JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.name
            WHERE s.name <> 'pg_catalog' AND (
                EXISTS (SELECT FROM pg_catalog.pg_class AS c
                    WHERE c.relnamespace = n.oid AND c.relname = ANY (CAST(:relations AS name[])))
                OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p
                    WHERE p.pronamespace = n.oid AND p.proname = ANY (CAST(:functions AS name[]))))
            ORDER BY s.place LIMIT 1),
        nullif(pg_catalog.current_schema(), 'pg_catalog'), 'public') AS default_schema,
    pg_catalog.current_schemas(false)::text[] AS path,
    pg_catalog.current_setting('DateStyle') LIKE 'ISO,%'
        AND pg_catalog.current_setting('IntervalStyle') = 'postgres'
        AND pg_catalog.current_setting('extra_float_digits')::int > 0
        AND (pg_catalog.pg_my_temp_schema() = 0 OR NOT EXISTS (
            SELECT FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = pg_catalog.pg_my_temp_schema())) AS exact
"""
PRINTING = """
SELECT pg_catalog.set_config('search_path', :path, true),
    pg_catalog.set_config('DateStyle', 'ISO', true),
    pg_catalog.set_config('IntervalStyle', 'postgres', true),
    pg_catalog.set_config('extra_float_digits', '3', true)
"""
"""As pg_dump has it: what is printed reads the same on a server of other settings."""


class Home(str):
    """
    The name of the default schema.

    Attributes:
        first: where what names no schema would be made: the first one of the ``search_path``,
            None if there is none.
        plain: whether PostgreSQL prints as it shall anyway: the ``search_path`` has no other
            schema, no temporary table hides one of its tables, and dates and numbers are printed
            so that every server reads them.
    """

    __slots__ = ("first", "plain")

    first: str | None
    plain: bool

    @classmethod
    def of(cls, schema: str, path: Sequence[str], *, exact: bool) -> Self:
        """
        A schema on a path, and whether the session's styles are exact.
        """
        home = cls(schema)
        home.first = next(iter(path), None)
        home.plain = exact and list(path) == [schema]
        return home


def home_of(
    connection: Connection, metadata: Iterable[MetaData], desired: State | None = None
) -> Home:
    """
    The schema that None stands for: where the ``search_path`` finds what is there already.

    That is the first schema of the path that holds one of the tables without a schema, or,
    where no table is without one, another such object; in an empty database the first
    schema of the path. So a session with another path sees the same objects.

    Args:
        connection: whose path it is.
        metadata: whose tables are looked for.
        desired: what the models declare; collected if it is needed and not given.

    Raises:
        UnsupportedServer: the server is older than PostgreSQL 15.
    """
    several = list(metadata)
    relations = [
        table.name for each in several for table in each.tables.values() if table.schema is None
    ]
    functions: list[str] = []
    if not relations:
        if desired is None:
            desired = State(each for one in several for each in collect(one).values())
        bare = [each for each in desired if each.schema is None]
        relations = [each.name for each in bare if each.kind in ("view", "index")]
        functions = [name for each in bare if each.kind == "function" for name in each.bare_names()]
    settings = rows(connection, SETTINGS, relations=relations, functions=functions)[0]
    if settings.version < OLDEST_SERVER:
        raise UnsupportedServer(
            f"pgultra needs PostgreSQL 15 or newer; this server is {settings.version_text}. "
            "Upgrade the server, or stay with plain SQLAlchemy for this database"
        )
    return Home.of(settings.default_schema, settings.path, exact=settings.exact)


def scope_of(
    connection: Connection,
    metadata: Iterable[MetaData],
    desired: State,
    *,
    application: str,
    dropped_tables: Iterable[tuple[str | None, str]] = (),
    schemas: frozenset[str] | None = None,
    home: Home | None = None,
) -> Scope:
    """
    What to look for: the desired objects, and the marked ones on this MetaData's tables.

    Args:
        connection: tells what the default schema is.
        metadata: whose tables count.
        desired: what the models declare.
        application: whose marks count.
        dropped_tables: tables that are about to go; their marked objects count too.
        schemas: limit for objects that sit on no table; None is all schemas.
        home: what ``home_of`` said, if it was asked already.

    Raises:
        UnsupportedServer: the server is older than PostgreSQL 15.
    """
    metadata = list(metadata)
    home = home or home_of(connection, metadata, desired)
    default = str(home)
    names = Scope(application, default)
    own = [(table.schema, table.name) for each in metadata for table in each.tables.values()]
    return Scope(
        application=application,
        default_schema=default,
        plain=home.plain,
        wanted=frozenset(each.canonical(names).identity for each in desired.values()),
        tables=frozenset((schema or default, name) for schema, name in (*own, *dropped_tables)),
        schemas=schemas,
    )


def read(
    connection: Connection, scope: Scope, kinds: Sequence[type[DatabaseObject]] = KINDS
) -> State:
    """
    Ask each kind for the objects that exist and are ours, or that are wanted.

    Takes no lock beyond the catalog's own. Expressions are printed as the ``search_path``
    has it: within ``seen_from``, a host's own path changes nothing.
    """
    scope = dataclasses.replace(scope, marked=marked_oids(connection, scope.application))
    found = (each for kind in kinds for each in kind.read(connection, scope))
    return State(each for each in found if _in_sight(each, scope))


def _in_sight(each: DatabaseObject, scope: Scope) -> bool:
    if each.mark is None or each.identity in scope.wanted:
        return True
    if each.mark.application != scope.application:  # its comment only mentions ours
        return False
    if scope.schemas is None:
        return True
    if each.identity.table is not None or each.kind in ("schema", "extension"):
        return True
    return scope.real(each.schema) in scope.schemas


@contextlib.contextmanager
def own_transaction(connection: Connection) -> Iterator[None]:
    """
    End the transaction that the block begins; leave one alone that was there before.
    """
    begun = not connection.in_transaction()
    try:
        yield
    finally:
        if begun and connection.in_transaction():
            connection.rollback()


@contextlib.contextmanager
def scratch(connection: Connection) -> Iterator[None]:
    """
    A piece of transaction that is rolled back, whatever is done in it.

    Inside the host's transaction it is a savepoint; without one, also under AUTOCOMMIT, a
    transaction of its own.
    """
    with own_transaction(connection):
        if autocommits(connection):
            connection.exec_driver_sql("BEGIN")
            try:
                yield
            finally:
                connection.exec_driver_sql("ROLLBACK")
        elif connection.in_transaction():
            inner = connection.begin_nested()
            try:
                yield
            finally:
                inner.rollback()
        else:
            yield


def autocommits(connection: Connection) -> bool:
    """
    Whether each statement is a transaction of its own, however that came about.
    """
    options = connection.get_execution_options()
    level = options.get("isolation_level") or connection.default_isolation_level
    return bool(
        str(level).upper() == "AUTOCOMMIT"
        or getattr(connection.connection.dbapi_connection, "autocommit", False)
    )


@contextlib.contextmanager
def seen_from(connection: Connection, scope: Scope) -> Iterator[None]:
    """
    Let PostgreSQL print for the default schema and for any server, whatever the host has set.
    """
    if scope.plain:
        yield
        return
    with scratch(connection):
        print_for(connection, scope.default_schema)
        yield


def print_for(connection: Connection, default_schema: str) -> None:
    """
    The same, until the rollback.
    """
    # temporary tables of the session come first where the path does not name them
    rows(connection, PRINTING, path=f"{sql.identifier(default_schema)}, pg_temp")
