"""
The journal of conversions, in the database: how far each has come, so that it can go on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from pgultra import sql
from pgultra.errors import PgultraError
from pgultra.features.partitions.conversion.privacy import revoked
from pgultra.objects import Mark
from pgultra.plan.declare import application_of, function_name

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

    from pgultra.features.partitions.children import Parent

__all__ = ["Entry", "Journal", "insist_finished", "journal_of"]

EXISTS = text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n "
    "ON n.oid = c.relnamespace WHERE n.nspname = CAST(:schema AS name) "
    "AND c.relname = CAST(:name AS name))"
)


@dataclass
class Entry:
    """
    One conversion.

    Attributes:
        way: ``copy`` or ``attach``.
        step: the last one that is done; empty before the first.
        position: the key of the last row that was copied, as texts.
        state: what later steps need: surveys, what was given up, what was measured.
    """

    way: str = "copy"
    step: str = ""
    position: list[str] | None = None
    state: dict[str, Any] = field(default_factory=dict)


class Journal:
    """
    The journal's table in one schema, and one table's line in it.

    Args:
        schema: where it lies: beside the table.
        name: of the journal's table.
        table: of the table that is converted.
        mark: the journal's comment.
    """

    def __init__(self, schema: str, name: str, table: str, mark: str) -> None:
        self.schema, self.name, self.table, self.mark = schema, name, table, mark
        self.place = sql.qualified(schema, name)

    def creation(self) -> tuple[str, ...]:
        """
        The statements that make its table.
        """
        return (
            (
                f"CREATE TABLE IF NOT EXISTS {self.place} (table_name text PRIMARY KEY, "
                "way text NOT NULL, step text NOT NULL, position jsonb, state jsonb NOT NULL, "
                "changed timestamptz NOT NULL DEFAULT now())"
            ),
            f"COMMENT ON TABLE {self.place} IS {sql.literal(self.mark)}",
            revoked(self.place),
        )

    def read(self, connection: Connection) -> Entry | None:
        """
        The line of the table; None if no conversion is under way.
        """
        if not connection.execute(EXISTS, {"schema": self.schema, "name": self.name}).scalar_one():
            return None
        row = connection.execute(
            text(
                f"SELECT way, step, position::text AS position, state::text AS state "  # noqa: S608  # quoted
                f"FROM {self._spelt} WHERE table_name = :table"
            ),
            {"table": self.table},
        ).one_or_none()
        if row is None:
            return None
        position = json.loads(row.position) if row.position else None
        return Entry(row.way, row.step, position, json.loads(row.state))

    def write(self, connection: Connection, entry: Entry) -> None:
        """
        Write how far it has come, in the transaction of what was done.
        """
        statement = text(
            f"INSERT INTO {self._spelt} (table_name, way, step, position, state) "  # noqa: S608  # quoted
            "VALUES (:table, :way, :step, CAST(:position AS jsonb), CAST(:state AS jsonb)) "
            "ON CONFLICT (table_name) DO UPDATE SET way = excluded.way, step = excluded.step, "
            "position = excluded.position, state = excluded.state, changed = now()"
        )
        connection.execute(
            statement,
            {
                "table": self.table,
                "way": entry.way,
                "step": entry.step,
                "position": None if entry.position is None else json.dumps(entry.position),
                "state": json.dumps(entry.state),
            },
        )

    def advance(self, connection: Connection, position: list[str], copied: int) -> None:
        """
        Write the position and the rows copied: once for each page.
        """
        connection.execute(
            text(
                f"UPDATE {self._spelt} SET position = CAST(:position AS jsonb), changed = now(), "  # noqa: S608  # quoted
                "state = state || pg_catalog.jsonb_build_object('copied', CAST(:copied AS bigint)) "
                "WHERE table_name = :table"
            ),
            {"table": self.table, "position": json.dumps(position), "copied": copied},
        )

    def close(self, connection: Connection) -> None:
        """
        Strike the line out; the last one takes the table along.
        """
        connection.execute(
            text(f"DELETE FROM {self._spelt} WHERE table_name = :table"),  # noqa: S608  # quoted
            {"table": self.table},
        )
        if not self._lines(connection):
            # who has begun meanwhile has written his line, and is waited for
            connection.execute(sql.statement(f"LOCK TABLE {self.place} IN ACCESS EXCLUSIVE MODE"))
            if not self._lines(connection):
                connection.execute(sql.statement(f"DROP TABLE {self.place}"))

    def _lines(self, connection: Connection) -> bool:
        asked = text(f"SELECT EXISTS (SELECT FROM {self._spelt})")  # noqa: S608  # quoted
        return bool(connection.execute(asked).scalar_one())

    @property
    def _spelt(self) -> str:
        return self.place.replace(":", "\\:")


def journal_of(metadata: MetaData, schema: str, table: str) -> Journal:
    """
    The journal that a table's conversion writes.
    """
    mark = Mark(application_of(metadata), "partitions")
    return Journal(schema, function_name(metadata, "partitions", "journal"), table, str(mark))


def insist_finished(connection: Connection, parent: Parent) -> None:
    """
    See that a table's partitions may go: while it is converted, both ways are open.

    Raises:
        PgultraError: the way back would delete their rows from the old table.
    """
    if journal_of(parent.table.metadata, parent.schema, parent.name).read(connection) is not None:
        raise PgultraError(
            f"the conversion of {parent.spelt} is not finished, and its old table has the rows of "
            "this partition: it stays until finish_conversion, or undo_conversion"
        )
