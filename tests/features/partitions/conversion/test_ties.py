from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pgultra.features.partitions import (
    ByRange,
    PartitionedTable,
    convert,
    finish_conversion,
    maintain,
    undo_conversion,
)
from pgultra.sql import qualified, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SCHEMA = 'Odd "Schema: 100%'
NAME = 'Tree "Table: %'
TREE, TWIN = qualified(SCHEMA, NAME), qualified(SCHEMA, "twin")
NOTE, TWIN_NOTE = qualified(SCHEMA, "No te"), qualified(SCHEMA, "twin note")
UP, OF = '"Up: %"', '"Of: %"'
RULES = {
    "plain": "",
    "cascade": "ON DELETE CASCADE",
    "restrict": "ON UPDATE RESTRICT ON DELETE RESTRICT",
    "set null": "ON DELETE SET NULL (up)",
    "update cascade": "ON UPDATE CASCADE ON DELETE CASCADE",
    "deferred": "DEFERRABLE INITIALLY DEFERRED",
}
SELF = 'FOREIGN KEY (up, up_at) REFERENCES {} ("I d", at) {}'
WRITES = """
INSERT INTO {t} VALUES (1, '{a}', NULL, NULL), (2, '{b}', 1, '{a}'), (3, '{c}', 2, '{b}')
INSERT INTO {t} VALUES (11, '{a}', 12, '{b}'), (12, '{b}', NULL, NULL)
INSERT INTO {t} VALUES (13, '{a}', 13, '{a}'), (14, '{a}', 15, '{c}'), (15, '{c}', 14, '{a}')
INSERT INTO {t} VALUES (16, '{b}', NULL, NULL), (17, '{c}', 16, '{b}'), (18, '{a}', NULL, '{b}')
INSERT INTO {t} VALUES (21, '{a}', 99, '{b}')
INSERT INTO {t} VALUES (22, '{a}', 1, '{b}')
UPDATE {t} SET up = 99 WHERE "I d" = 2
UPDATE {t} SET at = '{c}' WHERE "I d" = 11
UPDATE {t} SET at = '{b}', up_at = '{b}' WHERE "I d" = 13
UPDATE {t} SET "I d" = "I d" + 100, up = up + 100 WHERE "I d" IN (14, 15)
UPDATE {t} SET at = '{b}' WHERE "I d" = 1
UPDATE {t} SET "I d" = 111 WHERE "I d" = 12
UPDATE {t} SET at = CASE "I d" WHEN 1 THEN '{c}' ELSE at END, up_at = CASE "I d" WHEN 2 THEN '{c}'::timestamptz ELSE up_at END WHERE "I d" IN (1, 2)
DELETE FROM {t} WHERE "I d" = 16
DELETE FROM {t} WHERE "I d" IN (16, 17)
WITH g AS (DELETE FROM {t} WHERE "I d" = 3 RETURNING *) INSERT INTO {t} SELECT "I d" + 300, '{a}', up, up_at FROM g
INSERT INTO {t} VALUES (31, '{a}', 32, '{b}'); INSERT INTO {t} VALUES (32, '{b}')
DELETE FROM {t} WHERE "I d" = 2; DELETE FROM {t} WHERE up = 2
DELETE FROM {t} WHERE "I d" IN (114, 115)
MERGE INTO {t} AS t USING (VALUES (41), (11)) AS v (id) ON t."I d" = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, '{c}', v.id, '{c}')
"""
MONTHS = {"a": "2026-03-03Z", "b": "2026-04-04Z", "c": "2026-05-05Z"}
KEYS = sa.text(
    "SELECT r.relname, k.conname, pg_get_constraintdef(k.oid), k.convalidated,"
    " obj_description(k.oid, 'pg_constraint')"
    " FROM pg_constraint AS k JOIN pg_class AS r ON r.oid = k.conrelid"
    " WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2"
)
BELOW = sa.text(
    "SELECT count(*) FROM pg_constraint AS k WHERE k.contype = 'f' AND k.conname = :name"
    " AND k.conparentid <> 0 AND k.convalidated AND k.conrelid IN"
    " (SELECT t.relid FROM pg_partition_tree(CAST(:table AS regclass)) AS t WHERE t.isleaf)"
)


def models(rules: Any = None) -> Any:
    """
    The model that the table shall fit, of its own metadata.
    """

    class Base(DeclarativeBase):
        pass

    class Tree(PartitionedTable, Base):
        __tablename__ = NAME
        __partition_by__ = rules or ByRange("at", every="1 month", premake=1)
        __table_args__ = (
            sa.UniqueConstraint("I d", "at", name="Ke y"),
            {"schema": SCHEMA},
        )

        id: Mapped[int] = mapped_column("I d", primary_key=True, autoincrement=False)
        at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), primary_key=True)
        up: Mapped[int | None]
        up_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))

    return Tree


def run(engine: sa.Engine, *texts: str) -> None:
    """
    Run statements in one transaction.
    """
    with engine.begin() as connection:
        for text in texts:
            connection.execute(statement(text))


def prepare(engine: sa.Engine, rule: str) -> None:
    """
    The plain table that refers to itself, with rows in three months; and its twin.
    """
    run(engine, f'CREATE SCHEMA "{SCHEMA.replace(chr(34), chr(34) * 2)}"')
    for table, key in ((TREE, "Ke y"), (TWIN, "twin key")):
        run(
            engine,
            f'CREATE TABLE {table} ("I d" int PRIMARY KEY, at timestamptz NOT NULL, up int,'
            f' up_at timestamptz, CONSTRAINT "{key}" UNIQUE ("I d", at))',
            f"ALTER TABLE {table} ADD CONSTRAINT {UP} {SELF.format(table, RULES[rule])}",
            f"COMMENT ON CONSTRAINT {UP} ON {table} IS 'it''s: 100%'",
            f"INSERT INTO {table} SELECT g, timestamptz '2026-03-01Z' + (g % 3) * interval '1 month'"
            " FROM generate_series(5000, 5100) AS g",
        )


class Twins:
    """
    Every write is done to the table and to its plain twin, and must have the same outcome.
    """

    def __init__(self, engine: sa.Engine, **tables: tuple[str, str]) -> None:
        self.engine = engine
        self.tables = tables
        self.steps: list[str] = []

    def write(self, step: str, writes: str = WRITES) -> None:
        """
        All writes, one transaction each; then all rows go, so that they can be done again.
        """
        self.steps.append(step)
        for line in writes.strip().splitlines():
            outcomes = [self.outcome(line, side) for side in (0, 1)]
            assert outcomes[0] == outcomes[1], (step, line)
            assert self.rows(0) == self.rows(1), (step, line)
        for table, column in zip("tn", ('"I d"', "id"), strict=True):
            if table in self.tables:
                line = f"DELETE FROM {{{table}}} WHERE {column} < 5000"
                outcomes = [self.outcome(line, side) for side in (0, 1)]
                assert outcomes == [None, None]

    def outcome(self, line: str, side: int) -> str | None:
        """
        The SQLSTATE of what one side says.
        """
        words = {each: names[side] for each, names in self.tables.items()}
        try:
            run(self.engine, *(part.format(**words, **MONTHS) for part in line.split("; ")))
        except sa.exc.DBAPIError as error:
            return str(error.orig.sqlstate)  # type: ignore[union-attr]
        return None

    def rows(self, side: int) -> Any:
        """
        All rows of one side.
        """
        with self.engine.connect() as connection:
            return [
                connection.execute(statement(f"SELECT t::text FROM {names[side]} AS t ORDER BY 1"))
                .scalars()
                .all()
                for names in self.tables.values()
            ]


def keys(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """
    All foreign keys that do not belong to another one.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
        return [tuple(row) for row in connection.execute(KEYS) if "twin" not in row[0]]


def below(engine: sa.Engine, name: str, table: str) -> int:
    """
    On how many partitions a foreign key is there, checked, as a part of the table's own.
    """
    with engine.connect() as connection:
        asked = {"name": name.strip('"'), "table": table}
        return int(connection.execute(BELOW, asked).scalar_one())


def leaves(engine: sa.Engine, table: str) -> int:
    """
    How many partitions hold rows.
    """
    text = sa.text("SELECT count(*) FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf")
    with engine.connect() as connection:
        return int(connection.execute(text, {"table": table}).scalar_one())


@pytest.fixture
def told(owner_engine: sa.Engine) -> Iterator[Callable[[], list[str]]]:
    """
    A function that gives the statements sent since it was called last.
    """
    sent: list[str] = []

    @sa.event.listens_for(owner_engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        sent.append(text.replace("%%", "%"))

    def since() -> list[str]:
        found = list(sent)
        sent.clear()
        return found

    yield since
    sa.event.remove(owner_engine, "before_cursor_execute", note)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
@pytest.mark.parametrize("rule", RULES)
def test_a_table_that_refers_to_itself(owner_engine: sa.Engine, rule: str, way: str) -> None:
    """
    At every step it takes and refuses what its plain twin does; the foreign key stays what it is.
    """
    engine = owner_engine
    prepare(engine, rule)
    before, tree = keys(engine), models()
    twins = Twins(engine, t=(TREE, TWIN))
    with engine.connect() as connection:
        convert(connection, tree, way=way, announce=twins.write)
        assert twins.steps == list(
            ("build", "mirror", "copy", "compare", "constrain", "exchange", "settle")
            if way == "copy"
            else ("build", "index", "check", "exchange", "settle")
        )
        twins.write("converted")
        assert keys(engine) == before
        assert below(engine, UP, TREE) == leaves(engine, TREE)
        maintain(connection, tree.metadata, now=datetime(2027, 9, 9, tzinfo=UTC))
        wrong = "INSERT INTO {t} VALUES (1, '2027-09-09Z', 2, '2027-09-09Z')"
        assert twins.outcome(wrong, 0) == "23503"
        assert below(engine, UP, TREE) == leaves(engine, TREE)
        if way == "copy":
            assert undo_conversion(connection, tree, announce=twins.write).repaired == 0
            assert keys(engine) == before
            twins.write("undone")
            convert(connection, tree)
        finish_conversion(connection, tree)
        twins.write("finished")
        assert keys(engine) == before
