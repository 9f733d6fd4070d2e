"""
Rows out of the default partition into one of their own, while all of them stay visible.

Rows that were moved into a table which is not attached yet would be invisible; a partition
is not attached while the default one holds any of its rows. So the rows are copied, batch by
batch, while a trigger repeats every change of theirs on the copy; then one short transaction
compares both, deletes them from the default partition and attaches the copy.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from pgultra import sql
from pgultra.errors import PgultraError, sqlstate_of
from pgultra.features.partitions.attempts import GIVE_WAY
from pgultra.features.partitions.movable import insist_unpublished, key_of, may_silence
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from pgultra.features.partitions.attempts import Attempts

ROUNDS = 10
"""How often the copy is put right before it is compared; twice is enough as a rule."""

__all__ = ["Drain", "Drained", "trigger_name"]

COLUMNS = """
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
    a.attgenerated <> '' AS generated
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = CAST(CAST(:table AS text) AS oid) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
FOREIGN_KEYS = """
SELECT f.conname AS name, pg_catalog.pg_get_constraintdef(f.oid) AS definition
FROM pg_catalog.pg_constraint AS f
WHERE f.contype = 'f' AND f.conrelid = CAST(CAST(:parent AS text) AS oid) AND f.convalidated
    AND f.conparentid = 0 -- those are of a partitioned table that it refers to, part by part
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS own
        WHERE own.conrelid = CAST(CAST(:staged AS text) AS oid) AND own.conname = f.conname)
ORDER BY f.conname
"""
TRIGGERS = """
SELECT t.tgname AS name, t.tgenabled::text AS mode
FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid = CAST(CAST(:table AS text) AS oid) AND NOT t.tgisinternal
    AND t.tgenabled <> 'D'
ORDER BY t.tgname
"""
OID = "SELECT pg_catalog.to_regclass(:name)::pg_catalog.oid::text AS oid"
MODES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def trigger_name(child: str) -> str:
    """
    The name of the trigger, and of its function, while a partition is being made.
    """
    return sql.short_name(child, "pgultra_drain")


@dataclass(frozen=True)
class Drained:
    """
    What was moved out of a default partition.

    Attributes:
        table: the partitioned table.
        child: the partition that the rows are in now.
        bound: its bound.
        rows: how many.
        held: seconds for which readers and writers of the default partition had to wait.

    >>> Drained("event", "event_2026_01", "from … to …", rows=3, held=0.01).rows
    3
    """

    table: str
    child: str
    bound: str
    rows: int
    held: float


@cache
def _mirror() -> str:
    return (files("pgultra.features.partitions") / "sql" / "drain.sql").read_text(encoding="utf-8")


class Drain:
    """
    One range on its way out of a default partition.

    Args:
        attempts: on what connection, and how patient.
        parent: oid, schema and name of the partitioned table.
        default: oid, schema and name of its default partition.
        child: schema and name of the partition to be.
        inside: the range as a condition, given how a column's name is written.
        bound: its bound, as ``ATTACH PARTITION`` takes it.
        stage: statements that make the table with a CHECK of the range, not attached.
        attach: statements that attach it.
    """

    def __init__(
        self,
        attempts: Attempts,
        *,
        parent: tuple[int, str, str],
        default: tuple[int, str, str],
        child: tuple[str, str],
        inside: Callable[[str], str],
        bound: str,
        stage: Sequence[str],
        attach: Sequence[str],
    ) -> None:
        self.attempts = attempts
        self.parent, self.default = parent, default
        self.table = sql.qualified(*parent[1:])
        self.source = sql.qualified(*default[1:])
        self.staged = sql.qualified(*child)
        self.inside, self.bound = inside, bound
        self.stage, self.attach = tuple(stage), tuple(attach)
        self.trigger = trigger_name(child[1])
        self.function = sql.qualified(child[0], self.trigger)
        with attempts.transaction(patient=True) as connection:
            self._look(connection)

    def _look(self, connection: Connection) -> None:
        found = rows(connection, COLUMNS, table=str(self.default[0]))
        self.types = {row.name: row.type for row in found}
        self.columns = [row.name for row in found if not row.generated]
        self.key = key_of(connection, self.default[0], self.source)
        insist_unpublished(connection, self.default[0], self.source)
        self.silence = may_silence(connection, self.parent[0], self.table)

    def run(self, batch: int, progress: Callable[[int], object] | None) -> Drained:
        """
        From wherever an earlier run stopped to the end.
        """
        self._prepare()
        try:
            return self._moved(batch, progress)
        except (DBAPIError, PgultraError) as error:
            if not isinstance(error, DBAPIError) or sqlstate_of(error) not in GIVE_WAY:
                self._clear()  # another run would fail as this one did
            raise

    def _moved(self, batch: int, progress: Callable[[int], object] | None) -> Drained:
        copied = 0
        last: Sequence[str] | None = None
        while True:
            more, last = self.attempts.until_it_works(partial(self._copy, last, batch))
            copied += more
            if last is None:
                break
            if progress is not None:
                progress(copied)
        for _ in range(ROUNDS):
            if not self.attempts.until_it_works(self._settle):
                break
        number, held = self.attempts.until_it_works(self._finish)
        return Drained(self.table, self.staged, self.bound, number, held)

    def _clear(self) -> None:
        """
        Take the copy and its trigger away; while they are there, each row is written twice.
        """
        connection = self.attempts.connection
        if connection.invalidated or connection.closed:
            return
        if connection.in_transaction():
            connection.rollback()
        drops = [
            f"DROP TRIGGER IF EXISTS {sql.identifier(self.trigger)} ON {self.source}",
            f"DROP FUNCTION IF EXISTS {self.function}()",
            f"DROP TABLE {self.staged}",
        ]
        with suppress(DBAPIError):  # what went wrong before is what is to be told
            self.attempts.run(drops)

    # -- the copy and its trigger -------------------------------------------------------------

    def _prepare(self) -> None:
        """
        The empty table and the trigger, in one transaction: both are there, or none is.
        """

        def once() -> None:
            with self.attempts.transaction() as connection:
                if rows(connection, OID, name=self.staged)[0].oid is not None:
                    self._insist(connection)
                    return
                for each in (*self.stage, self._function(), *self._triggers()):
                    connection.execute(sql.statement(each))
                staged = rows(connection, OID, name=self.staged)[0].oid
                keys = rows(
                    connection, FOREIGN_KEYS, parent=str(self.parent[0]), staged=str(staged)
                )
                for key in keys:  # so that ATTACH finds them checked already
                    name = sql.identifier(key.name)
                    add = f"ALTER TABLE {self.staged} ADD CONSTRAINT {name} {key.definition}"
                    connection.execute(sql.statement(add))

        self.attempts.until_it_works(once)

    def _insist(self, connection: Connection) -> None:
        found = rows(connection, TRIGGERS, table=str(self.default[0]))
        if self.trigger not in [row.name for row in found]:
            raise PgultraError(
                f"{self.staged} exists and is not a copy that is being made: rename it; a "
                f"partition of {self.table} shall have this name"
            )

    def _function(self) -> str:
        listed = self._listed
        same = self._same("s.", "OLD.")
        first = sql.identifier(self.key[0])
        body = Template(_mirror()).substitute(
            staged=self.staged,
            columns=listed(""),
            key=", ".join(map(sql.identifier, self.key)),
            old_inside=self.inside("OLD."),
            new_inside=self.inside("NEW."),
            old_values=listed("OLD."),
            new_values=listed("NEW."),
            touch=f"{first} = EXCLUDED.{first}",
            same_as_old=same,
        )
        # SECURITY DEFINER: who writes the table need not be allowed to write the copy, too
        return (
            f"CREATE OR REPLACE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql "
            f"SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {sql.dollar(body)}"
        )

    def _triggers(self) -> tuple[str, ...]:
        name = sql.identifier(self.trigger)
        create = (
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {self.source} "
            f"FOR EACH ROW EXECUTE FUNCTION {self.function}()"
        )
        return (
            f"REVOKE ALL ON FUNCTION {self.function}() FROM PUBLIC",
            create,
            # also for what a replica, or a session without triggers, writes
            f"ALTER TABLE {self.source} ENABLE ALWAYS TRIGGER {name}",
        )

    def _listed(self, prefix: str) -> str:
        return ", ".join(prefix + sql.identifier(each) for each in self.columns)

    def _same(self, one: str, other: str) -> str:
        names = map(sql.identifier, self.key)
        return " AND ".join(f"{one}{name} = {other}{name}" for name in names)

    def _keys(self, prefix: str) -> str:
        return ", ".join(prefix + sql.identifier(each) for each in self.key)

    def _copy(self, last: Sequence[str] | None, batch: int) -> tuple[int, Sequence[str] | None]:
        """
        The next rows in the order of the key. Rows being written are left to the trigger.
        """
        after = ""
        if last is not None:
            values = ", ".join(
                f"CAST({sql.literal(text)} AS {self.types[name]})"
                for name, text in zip(self.key, last, strict=True)
            )
            after = f"AND ROW({self._keys('d.')}) > ROW({values})"
        texts = ", ".join(f"b.{sql.identifier(each)}::text" for each in self.key)
        same = self._same("d.", "b.")
        query = (
            f"WITH b AS MATERIALIZED (SELECT {self._keys('d.')} FROM {self.source} AS d "  # noqa: S608  # quoted
            f"WHERE ({self.inside('d.')}) {after} ORDER BY {self._keys('d.')} LIMIT {int(batch)}), "
            f"held AS MATERIALIZED (SELECT {self._listed('d.')} FROM {self.source} AS d JOIN b "
            f"ON {same} WHERE ({self.inside('d.')}) FOR SHARE OF d SKIP LOCKED), "
            f"put AS (INSERT INTO {self.staged} ({self._listed('')}) "
            f"SELECT {self._listed('h.')} FROM held AS h "
            f"ON CONFLICT ({self._keys('')}) DO NOTHING RETURNING 1) "
            f"SELECT (SELECT pg_catalog.count(*) FROM put), ARRAY[{texts}] FROM b "
            f"ORDER BY {self._descending('b.')} LIMIT 1"
        )
        with self.attempts.transaction() as connection:
            found = connection.execute(sql.statement(query)).first()
        return (0, None) if found is None else (int(found[0]), list(found[1]))

    def _descending(self, prefix: str) -> str:
        return ", ".join(f"{prefix}{sql.identifier(each)} DESC" for each in self.key)

    def _settle(self) -> int:
        """
        Put right what the copy could not know: how many rows that were.

        Rows that were being written when they were to be copied, and then were not, after a
        ROLLBACK; and rows that TRUNCATE took, which no row trigger is told of.
        """
        with self.attempts.transaction() as connection:
            more = connection.execute(sql.statement(self._missing())).scalar_one()
            less = connection.execute(sql.statement(self._surplus())).scalar_one()
        return int(more) + int(less)

    # -- the short transaction ----------------------------------------------------------------

    def _finish(self) -> tuple[int, float]:
        with self.attempts.transaction() as connection:

            def say(text: str) -> Any:
                return connection.execute(sql.statement(text))

            # Nobody may be between the table and its partitions: who had to wait at the default
            # one would have made up a list of partitions in which the new one is not.
            say(f"LOCK TABLE ONLY {self.table} IN ACCESS EXCLUSIVE MODE")
            say(f"LOCK TABLE {self.source} IN ACCESS EXCLUSIVE MODE")
            begun = time.perf_counter()
            say(f"DROP TRIGGER {sql.identifier(self.trigger)} ON {self.source}")
            modes = rows(connection, TRIGGERS, table=str(self.default[0]))
            self._hush(say, modes)
            gone = say(self._delete()).one()
            here = say(self._count(self.staged)).one()
            if tuple(gone) != tuple(here):
                raise PgultraError(
                    f"{self.staged} is not what {self.source} holds in its range ({here[0]} rows "
                    f"for {gone[0]}, or other values); nothing was changed, and the copy is dropped"
                )
            self._speak(say, modes)
            for each in self.attach:
                say(each)
            say(f"DROP FUNCTION {self.function}()")
        return int(gone[0]), time.perf_counter() - begun

    def _hush(self, say: Callable[[str], Any], modes: Sequence[Any]) -> None:
        """
        The rows are not deleted but moved: no trigger shall be told otherwise.
        """
        for row in modes:
            say(f"ALTER TABLE {self.source} DISABLE TRIGGER {sql.identifier(row.name)}")
        if self.silence:
            say("SET LOCAL session_replication_role = 'replica'")

    def _speak(self, say: Callable[[str], Any], modes: Sequence[Any]) -> None:
        if self.silence:
            say("SET LOCAL session_replication_role = 'origin'")
        for row in modes:
            name = sql.identifier(row.name)
            say(f"ALTER TABLE {self.source} {MODES[row.mode]} TRIGGER {name}")

    def _missing(self) -> str:
        same = self._same("s.", "d.")
        return (
            f"WITH held AS MATERIALIZED (SELECT {self._listed('d.')} FROM {self.source} AS d "  # noqa: S608  # quoted
            f"WHERE ({self.inside('d.')}) AND NOT EXISTS (SELECT FROM {self.staged} AS s "
            f"WHERE {same}) FOR SHARE OF d), "
            f"put AS (INSERT INTO {self.staged} ({self._listed('')}) "
            f"SELECT {self._listed('h.')} FROM held AS h "
            f"ON CONFLICT ({self._keys('')}) DO NOTHING RETURNING 1) "
            "SELECT pg_catalog.count(*) FROM put"
        )

    def _surplus(self) -> str:
        same = self._same("s.", "d.")
        return (
            f"WITH gone AS (DELETE FROM {self.staged} AS s "  # noqa: S608  # quoted
            f"WHERE NOT EXISTS (SELECT FROM {self.source} AS d WHERE {same}) RETURNING 1) "
            "SELECT pg_catalog.count(*) FROM gone"
        )

    def _delete(self) -> str:
        return (
            f"WITH gone AS (DELETE FROM {self.source} AS d WHERE ({self.inside('d.')}) "  # noqa: S608  # quoted
            f"RETURNING pg_catalog.hashtextextended(ROW({self._listed('d.')})::text, 0) AS h) "
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(h::numeric), 0) FROM gone"
        )

    def _count(self, table: str) -> str:
        return (
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(pg_catalog.hashtextextended("  # noqa: S608  # quoted
            f"ROW({self._listed('d.')})::text, 0)::numeric), 0) FROM {table} AS d"
        )
