"""
Which declared extensions the server lacks, and who can do something about it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import PgultraWarning
from pgultra.objects import Extension, Index
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pgultra.objects import DatabaseObject
    from pgultra.objects.extension import Advised
    from pgultra.plan.compare import Plan

__all__ = ["AbsentExtension", "absent_extensions", "advice_of", "warn_of_versions"]

VERSIONS = """
SELECT extname, extversion FROM pg_catalog.pg_extension
WHERE extname = ANY (:names) ORDER BY extname
"""

PROBE = """
SELECT w.name, v.name IS NOT NULL AS on_disk,
    coalesce(
        r.rolsuper OR NOT v.superuser OR (v.trusted
            AND pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')),
        false) AS may_create,
    pg_catalog.current_setting('server_version_num')::int / 10000 AS major
FROM pg_catalog.unnest(CAST(:names AS text[])) AS w (name)
JOIN pg_catalog.pg_roles AS r ON r.rolname = current_user
LEFT JOIN pg_catalog.pg_available_extensions AS a ON a.name = w.name
LEFT JOIN pg_catalog.pg_available_extension_versions AS v
    ON v.name = a.name AND v.version = a.default_version
ORDER BY w.name
"""


@dataclass(frozen=True)
class AbsentExtension:
    """
    A declared extension that this database does not have.

    Attributes:
        name: as in ``CREATE EXTENSION``.
        on_disk: whether the server could create it.
        may_create: whether this role could.
        command: what creates it.
        major: the server's version.
    """

    name: str
    on_disk: bool
    may_create: bool
    command: str
    major: int

    def __str__(self) -> str:
        if not self.on_disk:
            return (
                f"extension {self.name}: the server does not have its files. Install its package "
                f"there (on Debian: postgresql-{self.major}-<extension>, or postgresql-contrib), "
                f"then let a superuser run, in this database:\n    {self.command}"
            )
        if not self.may_create:
            return (
                f"extension {self.name}: not installed, and this role may not create it. "
                f"Let a superuser run, in this database:\n    {self.command}"
            )
        return f"extension {self.name}: not installed; the next migration creates it"

    def as_json(self) -> dict[str, Any]:
        """
        The same as values that ``json.dumps`` takes.
        """
        return {
            "name": self.name,
            "on_disk": self.on_disk,
            "may_create": self.may_create,
            "command": self.command,
        }


def absent_extensions(connection: Connection, plan: Plan) -> tuple[AbsentExtension, ...]:
    """
    Look at the extensions that a plan would create.
    """
    wanted = [
        step.after
        for step in plan.steps
        if step.before is None and isinstance(step.after, Extension)
    ]
    if not wanted:
        return ()
    schemas = {each.name: each.schema for each in wanted}
    return tuple(
        AbsentExtension(
            name=row.name,
            on_disk=row.on_disk,
            may_create=row.may_create,
            command=_command(row.name, schemas[row.name]),
            major=row.major,
        )
        for row in rows(connection, PROBE, names=list(schemas))
    )


def advice_of(desired: Iterable[DatabaseObject]) -> frozenset[Advised]:
    """
    The versions that objects want.
    """
    return frozenset(chain.from_iterable(e.advised for e in desired if isinstance(e, Index)))


def warn_of_versions(connection: Connection, advice: Iterable[Advised]) -> None:
    """
    Say so where an installed extension is older than what an object wants; ask only then.

    Warns:
        PgultraWarning: it is, with the reason and what to do.
    """
    wanted = sorted(advice, key=lambda each: (each.extension, _numbers(each.version)))
    if not wanted:
        return
    names = list(dict.fromkeys(each.extension for each in wanted))
    there = {row.extname: row.extversion for row in rows(connection, VERSIONS, names=names)}
    for advised in wanted:
        version = there.get(advised.extension)
        if version is not None and _numbers(version) < _numbers(advised.version):
            warnings.warn(
                f"extension {advised.extension} {version} is older than {advised.version}: "
                f"{advised.reason}",
                PgultraWarning,
                stacklevel=4,
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _command(name: str, schema: str | None) -> str:
    place = f" SCHEMA {sql.identifier(schema)}" if schema else ""
    return f"CREATE EXTENSION {sql.identifier(name)}{place};"
