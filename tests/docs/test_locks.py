from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tests.docs.pages import DOCS

if TYPE_CHECKING:
    from tests.fixtures.database import Database

PAGE = DOCS / "explanation" / "locks.md"
ROW = re.compile(r"^\| (.+?) \| `(.+?)` \| ([A-Za-z ]+) \| .+ \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())
TABLE = """
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE t (id int PRIMARY KEY, body text, CONSTRAINT c_body CHECK (body <> '') NOT VALID);
CREATE INDEX t_body ON t (body);
CREATE TRIGGER t_trigger AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION nothing();
CREATE VIEW t_view AS SELECT id FROM t;
INSERT INTO t SELECT n, 'x' FROM generate_series(1, 100) AS n;
"""
HELD = """
SELECT DISTINCT mode FROM pg_locks
WHERE relation = 't'::regclass AND pid = :pid AND database IS NOT NULL
"""
ORDER = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
]


@pytest.mark.parametrize(("statement", "lock"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_a_step_locks_what_the_page_says(database: Database, statement: str, lock: str) -> None:
    """
    The strongest lock on the table while the statement runs is the one in the table.
    """
    engine = database.engine()
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
    held = (
        _alone(database, statement) if "CONCURRENTLY" in statement else _within(engine, statement)
    )
    strongest = max(held, key=ORDER.index, default="none")
    assert strongest.removesuffix("Lock").lower() == lock.replace(" ", "").lower()


def test_the_page_has_all_its_rows() -> None:
    """
    No line of the table is written in a way that the test overlooks.
    """
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 1  # the heading


def _within(engine: sa.Engine, statement: str) -> set[str]:
    """
    Run it in a transaction, and look at the locks before it ends.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql(statement.replace("%", "%%"))
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with engine.connect() as other:
            return set(other.scalars(sa.text(HELD), {"pid": pid}))


def _alone(database: Database, statement: str) -> set[str]:
    """
    Run it outside a transaction, while an older one that wrote to the table makes it wait.
    """
    engine = database.engine()
    alone = database.engine(isolation_level="AUTOCOMMIT")
    held: set[str] = set()
    with engine.connect() as older, alone.connect() as connection:
        older.exec_driver_sql("UPDATE t SET body = 'y' WHERE id = 1")
        pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        waiting = threading.Thread(target=connection.exec_driver_sql, args=(statement,))
        waiting.start()
        try:
            until = time.monotonic() + 30
            while not held and time.monotonic() < until:
                with engine.connect() as other:
                    held = set(other.scalars(sa.text(HELD), {"pid": pid}))
        finally:
            older.rollback()
            waiting.join()
    return held
