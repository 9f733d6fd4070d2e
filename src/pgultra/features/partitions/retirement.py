"""
Taking a partition away: detached, then kept, dropped or archived; each step can be finished.

What shall become of a partition is written into its comment, above our mark, before it is
detached. So a run that was killed between two steps is finished by the next one, and no
table is ever touched because of its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.archive import write_archive
from pgultra.objects import Mark
from pgultra.objects._catalog import rows
from pgultra.plan.followers import followers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from pgultra.features.partitions.archive import Archived
    from pgultra.features.partitions.attempts import Attempts
    from pgultra.features.partitions.children import Parent

__all__ = [
    "DONE",
    "Retired",
    "detach",
    "dispose",
    "forgetting",
    "note",
    "retired_tables",
    "unfollowed",
]

WORD = "retired "
DONE = ("detach", "archived")
"""What is written into the comment of a table that nothing more shall happen to."""

TREE = """
WITH RECURSIVE tree AS (
    SELECT CAST(CAST(:table AS text) AS oid) AS oid
    UNION ALL
    SELECT h.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid
)
SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name,
    pg_catalog.obj_description(c.oid, 'pg_class') AS comment
FROM tree AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
"""
PLACE = """
SELECT h.inhparent::text AS parent, h.inhdetachpending AS detaching
FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = CAST(CAST(:table AS text) AS oid)
"""
THERE = """
SELECT c.relname AS name
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = ANY (:names)
ORDER BY c.relname
"""
IS_THERE = "SELECT pg_catalog.to_regclass(:name) IS NOT NULL AS it_is"
REFERRED = "23503"
"""Somebody noted a row of it meanwhile."""
SEE_ALL = "SELECT pg_catalog.set_config('row_security', 'off', true)"
"""Rows that row security would hide make the transaction fail, and are not left out."""
COMMENTED = """
SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name, d.description AS comment,
    c.relispartition AS detaching
FROM pg_catalog.pg_description AS d
JOIN pg_catalog.pg_class AS c ON c.oid = d.objoid AND c.relkind IN ('r', 'p')
    AND (NOT c.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS h
        WHERE h.inhrelid = c.oid AND h.inhdetachpending))
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = 0
    AND d.description LIKE :pattern
ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True)
class Retired:
    """
    A table that was a partition of ours, as its comment tells.

    Attributes:
        oid, schema, name: the table.
        parent: schema and name of the table that it was a partition of.
        bound: its bound then.
        how: ``detach``, ``drop`` or ``archive``: what was asked; ``archived`` when that is done.
        detaching: whether detaching it was begun and broke off.
    """

    oid: int
    schema: str
    name: str
    parent: tuple[str, str]
    bound: str
    how: str
    detaching: bool = False

    @property
    def table(self) -> str:
        """
        The name as SQL says it.
        """
        return sql.qualified(self.schema, self.name)

    @property
    def line(self) -> str:
        """
        What stands in the comment.
        """
        told = {"from": list(self.parent), "bound": self.bound, "then": self.how}
        return WORD + json.dumps(told, ensure_ascii=False)


def retired_tables(connection: Connection, application: str) -> tuple[Retired, ...]:
    """
    Every table that says that it was retired, and bears our mark; attached ones are none.
    """
    found = rows(connection, COMMENTED, pattern=f"%{WORD}{{%pgultra:%")
    several = (_read(row) for row in found if _is_ours(row.comment, application))
    return tuple(each for each in several if each is not None)


def _read(row: Any) -> Retired | None:
    text, _ = Mark.parse(row.comment)
    for line in (text or "").split("\n"):
        if _is_note(line):
            try:
                told = json.loads(line.removeprefix(WORD))
                schema, name = told["from"]
                return Retired(
                    int(row.oid),
                    row.schema,
                    row.name,
                    (schema, name),
                    told["bound"],
                    told["then"],
                    bool(getattr(row, "detaching", False)),
                )
            except (ValueError, KeyError, TypeError):
                return None
    return None


def _is_ours(comment: str | None, application: str) -> bool:
    _, mark = Mark.parse(comment)
    return mark is not None and (mark.application, mark.room) == (application, "partitions")


def note(connection: Connection, retired: Retired, application: str) -> None:
    """
    Write into the comment of a table what shall become of it.

    Raises:
        PgultraError: it, or a partition of its own, does not bear our mark.
    """
    found = rows(connection, TREE, table=str(retired.oid))
    strange = [row for row in found if not _is_ours(row.comment, application)]
    if strange or not found:
        names = ", ".join(sql.qualified(row.schema, row.name) for row in strange)
        raise PgultraError(
            f"{retired.table} stays: {names or 'it'} bears no mark of pgultra, and only marked "
            "partitions are removed; partitions.adopt() marks those that shall be"
        )
    (own,) = (row for row in found if int(row.oid) == retired.oid)
    connection.execute(sql.statement(_commented(retired.table, own.comment, retired.line)))


def forgetting(table: str, comment: str | None) -> str | None:
    """
    The statement that takes out of a comment what should become of the table, if it says that.
    """
    lines = (Mark.parse(comment)[0] or "").split("\n")
    return _commented(table, comment) if any(map(_is_note, lines)) else None


def _is_note(line: str) -> bool:
    return line.startswith(f"{WORD}{{")  # a person's line may begin with the word


def _commented(table: str, comment: str | None, *told: str) -> str:
    text, mark = Mark.parse(comment)
    kept = [line for line in (text or "").split("\n") if line and not _is_note(line)]
    comment = "\n".join([*kept, *told, str(mark)])
    return f"COMMENT ON TABLE {table} IS {sql.literal(comment)}"


def unfollowed(parent: Parent, partition: str) -> dict[str, str]:
    """
    What other rooms keep beside the rows of a partition goes, as it does when rows are deleted.

    PostgreSQL detaches no partition whose rows a foreign key refers to.

    Returns:
        a statement for each table of theirs, by its name.
    """
    texts: dict[str, str] = {}
    for follower, key in followers_of(parent.table):
        same = " AND ".join(
            f"f.{sql.identifier(each.parent.name)} = p.{sql.identifier(each.column.name)}"
            for each in key.elements
        )
        name = sql.qualified(parent.schema, follower.name)  # they lie beside the host's table
        texts[name] = f"DELETE FROM {name} AS f USING {partition} AS p WHERE {same}"  # noqa: S608  # quoted
    return texts


def detach(
    attempts: Attempts,
    parent: tuple[str, str],
    retired: Retired,
    before: Mapping[str, str],
    *,
    plainly: bool,
) -> None:
    """
    Detach, CONCURRENTLY; what broke off in the middle, here or earlier, is finished.

    Args:
        attempts: on what connection, and how patient.
        parent: schema and name of its parent.
        retired: the partition.
        before: what is done first, by the table that it is done to.
        plainly: not CONCURRENTLY, which a default partition forbids.
    """
    above, table = sql.qualified(*parent), retired.table

    def once() -> None:
        with attempts.transaction(patient=True) as connection:
            place = rows(connection, PLACE, table=str(retired.oid))
        if not place:
            return
        if place[0].detaching:
            attempts.outside(f"ALTER TABLE {above} DETACH PARTITION {table} FINALIZE")
            return
        if before:
            with attempts.transaction() as connection:
                for name, each in before.items():
                    if rows(connection, IS_THERE, name=name)[0].it_is:  # or not migrated yet
                        connection.execute(sql.statement(each))
        how = "" if plainly else " CONCURRENTLY"
        attempts.outside(f"ALTER TABLE {above} DETACH PARTITION {table}{how}")

    attempts.until_it_works(once, (REFERRED,) if before else ())


def dispose(
    attempts: Attempts, retired: Retired, application: str, archive_to: str | Path | None
) -> Archived | None:
    """
    Do to a detached table what its comment says, in one transaction.

    Args:
        attempts: on what connection, and how patient.
        retired: the table.
        application: whose mark it must bear.
        archive_to: a schema, or a folder.

    Raises:
        PgultraError: it changed meanwhile, or there is nowhere to archive it to.
    """
    if retired.how in DONE:
        return None
    if retired.how == "archive" and archive_to is None:
        raise PgultraError(
            f"{retired.table} is to be archived, and nothing says where to: give "
            "maintain(..., archive_to='a_schema') or a Path"
        )

    def once() -> Archived | None:
        with attempts.transaction() as connection:
            rows(connection, SEE_ALL)
            _lock(connection, retired, application)
            if retired.how == "drop":
                connection.execute(sql.statement(f"DROP TABLE {retired.table}"))
                return None
            if isinstance(archive_to, str):
                _move(connection, retired, application, archive_to)
                return None
            assert archive_to is not None  # asked above
            archived = write_archive(
                connection,
                retired.oid,
                retired.table,
                archive_to,
                parent=sql.qualified(*retired.parent),
                bound=retired.bound,
            )
            connection.execute(sql.statement(f"DROP TABLE {retired.table}"))
            return archived

    return attempts.until_it_works(once)


def _lock(connection: Connection, retired: Retired, application: str) -> None:
    """
    Lock the table and look again whether it is the one, detached, and ours with all below.
    """
    connection.execute(sql.statement(f"LOCK TABLE {retired.table} IN ACCESS EXCLUSIVE MODE"))
    found = rows(connection, TREE, table=str(retired.oid))
    attached = rows(connection, PLACE, table=str(retired.oid))
    own = [row for row in found if int(row.oid) == retired.oid]
    same = own and (own[0].schema, own[0].name) == (retired.schema, retired.name)
    if not same or attached or not all(_is_ours(row.comment, application) for row in found):
        raise PgultraError(f"{retired.table} stays: it changed since it was looked at")
    if (read := _read(own[0])) is None or read.how != retired.how:
        raise PgultraError(f"{retired.table} stays: its comment does not say {retired.how!r}")


def _move(connection: Connection, retired: Retired, application: str, schema: str) -> None:
    """
    Into another schema, with all below it; the comment says that it is done.
    """
    tree = rows(connection, TREE, table=str(retired.oid))
    there = rows(
        connection, "SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema", schema=schema
    )
    if not there:
        connection.execute(sql.statement(f"CREATE SCHEMA {sql.identifier(schema)}"))
    moved: Sequence[Any] = [row for row in tree if row.schema != schema]
    held = rows(connection, THERE, schema=schema, names=[row.name for row in moved])
    if held:
        names = ", ".join(sql.qualified(schema, row.name) for row in held)
        raise PgultraError(
            f"{retired.table} stays: {names} is there already, and is not replaced; rename that "
            "one, or give the tables of each schema a schema of their own, ByRange(archive=...)"
        )
    for row in moved:
        connection.execute(
            sql.statement(
                f"ALTER TABLE {sql.qualified(row.schema, row.name)} "
                f"SET SCHEMA {sql.identifier(schema)}"
            )
        )
    done = Retired(retired.oid, schema, retired.name, retired.parent, retired.bound, "archived")
    note(connection, done, application)
