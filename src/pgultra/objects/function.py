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
from pgultra.objects._catalog import records, rows
from pgultra.objects._names import insist_on_name
from pgultra.objects._rights import Rights, column_of_rights, rights_of
from pgultra.objects._signature import settings_of, without_defaults

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
    pg_catalog.oidvectortypes(p.proargtypes) AS types,
    CASE WHEN p.procost <> 100 THEN ' COST ' || p.procost ELSE '' END AS cost,
    CASE WHEN p.proretset AND p.prorows <> 1000 THEN ' ROWS ' || p.prorows ELSE '' END
        AS yields,
    CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END
        AS parallel,
    CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END AS security,
    coalesce(p.proconfig, '{}') AS settings
"""
READ = f"""
{COLUMNS}, {column_of_rights("FUNCTION", "p", "pro")},
    (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass
            AND d.objsubid = 0) AS description
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE p.oid = ANY (ARRAY(
    SELECT * FROM pg_catalog.unnest(CAST(:marked AS oid[]))
    UNION
    SELECT f.oid
    FROM unnest(CAST(:schemas AS name[]), CAST(:names AS name[])) AS w (schema, name)
    JOIN pg_catalog.pg_namespace AS s ON s.nspname = w.schema
    JOIN pg_catalog.pg_proc AS f ON f.proname = w.name AND f.pronamespace = s.oid))
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
UNCHECKED = """DECLARE
    usual text := pg_catalog.current_setting('check_function_bodies');
BEGIN
    PERFORM pg_catalog.set_config('check_function_bodies', 'off', true);
    {definition};
    PERFORM pg_catalog.set_config('check_function_bodies', usual, true);
END"""


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
        unchecked: make it before what its body names; set by the order of a plan.

    Raises:
        DeclarationError: there is no name, or ``volatility``, ``security`` or ``parallel`` is no
            word that PostgreSQL has for it.

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
    unchecked: bool = dataclasses.field(default=False, compare=False, repr=False)
    callers: tuple[Identity, ...] = dataclasses.field(default=(), compare=False, repr=False)
    types: str | None = dataclasses.field(default=None, compare=False, repr=False)
    signature: tuple[str, str] | None = dataclasses.field(default=None, compare=False, repr=False)
    cost: str = dataclasses.field(default="", compare=False, repr=False)
    yields: str = dataclasses.field(default="", compare=False, repr=False)
    rights: Rights = dataclasses.field(default=Rights(), compare=False, repr=False)

    def __post_init__(self) -> None:
        insist_on_name("function", self.name)
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
            arguments = without_defaults(self.arguments)
        return f"FUNCTION {sql.qualified(self.schema, self.name)}({arguments})"

    def create(self) -> tuple[str, ...]:
        """
        ``CREATE FUNCTION``, the mark, and what it had of owner and rights.
        """
        rights = self.rights.given("FUNCTION", self.target().partition(" ")[2])
        return (self._made("CREATE"), *self.commented(), *rights)

    def drop(self) -> tuple[str, ...]:
        """
        ``DROP FUNCTION``, which PostgreSQL refuses while something uses it.
        """
        return (f"DROP {self.target()}",)

    def in_place(self, old: Self) -> bool:
        """
        A body may change under its users, a signature may not.
        """
        return self._signature() == old._signature()

    def _signature(self) -> tuple[str, str]:
        """
        Arguments and result as PostgreSQL prints them, if it was asked.
        """
        return self.signature or (self.arguments, self.returns)

    def replace(self, old: Self) -> tuple[str, ...]:
        """
        ``CREATE OR REPLACE`` where the signature stays.
        """
        if self.in_place(old):
            new = self.heir_of(old).but(yields=self.yields or old.yields)
            return (new._made("CREATE OR REPLACE"), *new.commented())
        return super().replace(old)

    def heir_of(self, old: Self) -> Self:
        """
        This function with the old one's comment, cost, owner and rights.
        """
        return self.but(
            comment=self.comment or old.comment, cost=self.cost or old.cost, rights=old.rights
        )

    def _made(self, verb: str) -> str:
        definition = self._definition(verb)
        if not self.unchecked:
            return definition
        return f"DO {sql.dollar(UNCHECKED.format(definition=definition))}"

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
            f"RETURNS {self.returns} LANGUAGE {' '.join(words)}"
            f"{self.cost}{self.yields}\nAS {sql.dollar(self.body)}"
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
        found = records(
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
                settings=settings_of(row.settings) if row.settings else (),
                rights=rights_of(row.rights),
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
            types=other.types,
        )

    def printed_as(self, form: Self) -> Self:
        """
        With the signature that PostgreSQL prints, by which it is found and judged.
        """
        if form.types is None:
            return self
        return self.but(
            identity_arguments=form.identity_arguments,
            signature=(form.arguments, form.returns),
            types=form.types,
        )

    def known_as(self, actual: Mapping[Identity, DatabaseObject]) -> Self:
        """
        By the argument names of an existing one with the same types: these make a function.
        """
        if self.types is not None and self.identity not in actual:
            for each in actual.values():
                if isinstance(each, Function) and (self.schema, self.name, self.types) == (
                    each.schema,
                    each.name,
                    each.types,
                ):
                    return self.but(identity_arguments=each.identity_arguments)
        return self

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
            printed["settings"] = settings_of(row.settings)
            forms[row.name] = twins[row.name].but(**printed)
        return forms
