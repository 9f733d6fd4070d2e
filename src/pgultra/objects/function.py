"""
The noun Function: its body is kept verbatim, its signature is printed by PostgreSQL.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy.util import memoized_property

from pgultra import sql
from pgultra.errors import DeclarationError
from pgultra.objects._base import DatabaseObject, Identity, Mark, Phase, Scope
from pgultra.objects._callers import callers_of
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

__all__ = ["Function"]

COLUMNS = """
SELECT p.oid::text AS oid, n.nspname, p.proname AS name,
    CASE WHEN p.prosqlbody IS NULL THEN p.prosrc
        ELSE pg_catalog.pg_get_function_sqlbody(p.oid) END AS body, l.lanname AS language,
    p.proisstrict AS strict, p.proleakproof AS leakproof,
    CASE WHEN p.proallargtypes IS NULL AND p.pronargs = 0 THEN ''
        ELSE pg_catalog.pg_get_function_identity_arguments(p.oid) END AS identity_arguments,
    CASE WHEN p.proallargtypes IS NULL AND p.pronargs = 0 THEN ''
        ELSE pg_catalog.pg_get_function_arguments(p.oid) END AS arguments,
    CASE p.prorettype WHEN 'pg_catalog.trigger'::regtype THEN 'trigger'
        ELSE coalesce(pg_catalog.pg_get_function_result(p.oid), 'procedure') END AS returns,
    CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END
        AS volatility,
    CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END
        AS parallel,
    CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END AS security,
    coalesce(p.proconfig, '{}') AS settings
"""
READ = f"""
{COLUMNS}, (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass
            AND d.objsubid = 0) AS description
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.oid IN (
    SELECT * FROM pg_catalog.unnest(CAST(:marked AS oid[]))
    UNION
    SELECT f.oid
    FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (schema, name)
    JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.schema
    JOIN pg_catalog.pg_proc AS f ON f.proname = w.name AND f.pronamespace = s.oid)
ORDER BY n.nspname, p.proname, identity_arguments
"""  # noqa: S608  # constants of this file only
USERS = """
SELECT t.tgfoid::text AS oid, tn.nspname AS schema, tc.relname AS name
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS tc
    ON tc.oid = coalesce(pg_catalog.pg_partition_root(t.tgrelid), t.tgrelid)
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = tc.relnamespace
WHERE t.tgfoid = ANY (CAST(:oids AS oid[])) AND tc.oid <> ALL (CAST(:views AS oid[]))
"""
TWINS = f"""
{COLUMNS}
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = pg_catalog.pg_my_temp_schema() AND p.proname = ANY (:names)
"""
LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
"""Settings whose stored value is a list of quoted names, which is SQL as it stands."""


@dataclass(frozen=True, kw_only=True)
class Function(DatabaseObject):
    """
    A function.

    Args:
        name: without schema and arguments.
        arguments: as between the parentheses of ``CREATE FUNCTION``.
        returns: as after ``RETURNS``: ``trigger``, ``TABLE (id integer, …)``.
        language: ``plpgsql`` or ``sql``.
        body: the text between the dollar signs, kept verbatim.
        volatility: ``volatile``, ``stable`` or ``immutable``.
        security: ``invoker`` or ``definer``.
        parallel: ``unsafe``, ``restricted`` or ``safe``.
        settings: pairs for ``SET name = value``, the value as SQL, such as
            ``("search_path", "pg_catalog, pg_temp")``.

    >>> touch = Function(name="touch", body="begin new.seen := now(); return new; end")
    >>> print(touch.create()[0])
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
    AS $$begin new.seen := now(); return new; end$$
    """

    kind: ClassVar[str] = "function"
    phase: ClassVar[Phase] = Phase.BEFORE_TABLES

    name: str
    body: str
    arguments: str = ""
    returns: str = "trigger"
    language: str = "plpgsql"
    volatility: str = "volatile"
    security: str = "invoker"
    strict: bool = False
    leakproof: bool = False
    parallel: str = "unsafe"
    settings: tuple[tuple[str, str], ...] = ()
    identity_arguments: str | None = dataclasses.field(default=None, compare=False, repr=False)
    callers: tuple[Identity, ...] = dataclasses.field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for option, value, allowed in (
            ("volatility", self.volatility, ("volatile", "stable", "immutable")),
            ("security", self.security, ("invoker", "definer")),
            ("parallel", self.parallel, ("unsafe", "restricted", "safe")),
        ):
            if value not in allowed:
                raise DeclarationError(
                    f"function {self.name}: {option}={value!r} is not one of {', '.join(allowed)}"
                )

    @memoized_property
    def identity(self) -> Identity:
        """
        Schema, name and argument types.
        """
        arguments = self.arguments if self.identity_arguments is None else self.identity_arguments
        return Identity("function", self.schema, f"{self.name}({arguments})")

    def target(self) -> str:
        """
        ``FUNCTION name(arguments)``.
        """
        arguments = self.identity_arguments
        if arguments is None:
            arguments = _without_defaults(self.arguments)
        return f"FUNCTION {sql.qualified(self.schema, self.name)}({arguments})"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE FUNCTION`` and the mark.
        """
        return (self._definition("CREATE"), *self.commented())

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP FUNCTION``, which PostgreSQL refuses while something uses it.
        """
        return (f"DROP {self.target()}",)

    def in_place(self, old: Self) -> bool:
        """
        A body may change under its users, a signature may not.
        """
        return self.arguments == old.arguments and self.returns == old.returns

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE`` where the signature stays.
        """
        if self.in_place(old):
            new = dataclasses.replace(self, comment=self.comment or old.comment)
            return (self._definition("CREATE OR REPLACE"), *new.commented())
        return super().replace(old)

    def _definition(self, verb: str) -> str:
        words = [self.language if self.language.isidentifier() else sql.identifier(self.language)]
        if self.volatility != "volatile":
            words.append(self.volatility.upper())
        if self.strict:
            words.append("STRICT")
        if self.leakproof:
            words.append("LEAKPROOF")
        if self.security == "definer":
            words.append("SECURITY DEFINER")
        if self.parallel != "unsafe":
            words.append(f"PARALLEL {self.parallel.upper()}")
        words.extend(f"SET {name} = {value}" for name, value in self.settings)
        return (
            f"{verb} FUNCTION {sql.qualified(self.schema, self.name)}({self.arguments}) "
            f"RETURNS {self.returns} LANGUAGE {' '.join(words)}\nAS {sql.dollar(self.body)}"
        )

    @classmethod
    def read(cls, connection: Connection, scope: Scope) -> Iterable[Function]:
        """
        The marked functions and all overloads of the wanted names.
        """
        wanted = scope.of_kind("function")
        names = [(identity.schema, name) for identity in wanted for name in identity.bare_names()]
        marked = scope.marked.get("pg_proc", [])
        if not names and not marked:
            return
        found = rows(
            connection,
            READ,
            marked=marked,
            schemas=[scope.real(schema) for schema, _ in names],
            names=[name for _, name in names],
        )
        declared, views = set(names), scope.marked.get("pg_class.v", [])
        spare = [r.oid for r in found if (scope.spelt(r.nspname), r.name) not in declared]
        busy = {
            user.oid
            for user in (rows(connection, USERS, oids=spare, views=views) if spare else ())
            if (user.schema, user.name) not in scope.tables
        }
        for row in found:
            comment, mark = Mark.parse(row.description)
            if row.oid in busy:
                continue  # a table of another MetaData still runs it
            yield cls.as_read(
                row,
                schema=scope.spelt(row.nspname),
                settings=_settings(row.settings) if row.settings else (),
                comment=comment,
                mark=mark,
            )

    @staticmethod
    def with_details(
        connection: Connection, functions: Sequence[Function], scope: Scope
    ) -> Sequence[Function]:
        """
        The same functions, with those who call them.
        """
        names = [(scope.real(f.schema), f.name, f.identity_arguments or "") for f in functions]
        return [
            dataclasses.replace(function, callers=callers)
            for function, callers in zip(
                functions, callers_of(connection, names, scope), strict=True
            )
        ]

    @property
    def printed(self) -> bool:
        """
        PostgreSQL prints the signature anew, the body never.
        """
        return bool(self.arguments or self.settings) or self.returns != "trigger"

    def source(self) -> str:
        """
        What the fingerprint is taken of: all that is not kept verbatim.
        """
        return repr((self.arguments, self.returns, self.settings))

    def counterpart(self, actual: Mapping[Identity, DatabaseObject]) -> DatabaseObject | None:
        """
        The one with the same name that was made from the same signature.
        """
        exact = actual.get(self.identity)
        others = (
            each
            for each in actual.values()
            if isinstance(each, Function)
            and (each.schema, each.name) == (self.schema, self.name)
            and (each.mark and each.mark.fingerprint) == (self.mark and self.mark.fingerprint)
        )
        return exact or next(others, None)

    def trusting(self, other: Self) -> Self:
        """
        With the other's printed signature.
        """
        return dataclasses.replace(
            self,
            arguments=other.arguments,
            returns=other.returns,
            settings=other.settings,
            identity_arguments=other.identity_arguments,
        )

    @classmethod
    def twins(
        cls,
        desired: Sequence[Function],
        actual: Mapping[Identity, DatabaseObject],
        names: Iterator[str],
    ) -> Iterable[tuple[str, Function, tuple[str, ...]]]:
        """
        A temporary function with the same signature, where the name is taken.
        """
        taken = {(o.schema, o.name) for o in actual.values() if isinstance(o, Function)}
        for function in desired:
            exact = actual.get(function.identity)
            if (exact is None or not exact.same_as(function)) and (
                (function.schema, function.name) in taken
            ):
                name = next(names)
                twin = dataclasses.replace(function, name=name, schema="pg_temp")
                yield name, function, (twin._definition("CREATE"),)

    @classmethod
    def printed_forms(
        cls, connection: Connection, twins: Mapping[str, Function]
    ) -> Mapping[str, Function]:
        """
        Arguments, result and settings as PostgreSQL prints them.
        """
        forms = {}
        for row in rows(connection, TWINS, names=list(twins)):
            printed = row._asdict()
            for foreign in ("oid", "nspname", "name"):
                del printed[foreign]
            printed["settings"] = _settings(row.settings)
            forms[row.name] = twins[row.name].but(**printed)
        return forms


def _settings(stored: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """
    Names and values as SQL, from ``proconfig``.
    """
    pairs = (text.partition("=") for text in stored)
    return tuple((name, value if name in LISTS else sql.literal(value)) for name, _, value in pairs)


def _without_defaults(arguments: str) -> str:
    """
    Cut the defaults off an argument list, for ``DROP`` and ``COMMENT``.
    """
    if "default" not in arguments.lower() and "=" not in arguments:
        return arguments
    kept, depth, quote, skipping = [], 0, "", False
    words = arguments.replace("=", " = ") if "=" in arguments else arguments
    index = 0
    while index < len(words):
        character = words[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            skipping = False
        elif depth == 0 and (
            character == "="
            or (words[index : index + 8].lower() == "default " and words[index - 1 : index] == " ")
        ):
            skipping = True
        if not skipping:
            kept.append(character)
        index += 1
    return " ".join("".join(kept).split()).replace(" ,", ",")
