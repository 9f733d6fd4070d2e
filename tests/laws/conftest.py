"""
What the laws share: a database in which strangers live, and dumps that can be compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from tests.fixtures.database import Database

STRANGERS = """
CREATE SCHEMA theirs;
CREATE TABLE theirs.stock (id int PRIMARY KEY, n int CONSTRAINT theirs_positive CHECK (n > 0));
CREATE TABLE visitor (id int PRIMARY KEY);
CREATE INDEX theirs_index ON theirs.stock (n);
CREATE VIEW theirs_view AS SELECT id FROM theirs.stock;
CREATE FUNCTION theirs.pgultra_soft_delete_stamp() RETURNS trigger LANGUAGE plpgsql AS
    'begin return new; end';
CREATE FUNCTION theirs_function(int) RETURNS int LANGUAGE sql AS 'select 1';
CREATE TRIGGER theirs_trigger BEFORE UPDATE ON theirs.stock
    FOR EACH ROW EXECUTE FUNCTION theirs.pgultra_soft_delete_stamp();
COMMENT ON VIEW theirs_view IS 'Theirs.
pgultra:another_application:declared';
COMMENT ON FUNCTION theirs_function(int) IS 'mentions pgultra:default:declared, and is not ours';
"""

EXTENSION = re.compile(
    r"^--\n-- Name: (?:EXTENSION )?[^;]*; Type: (?:EXTENSION|COMMENT); .*\n--\n\n"
    r"(?:CREATE|COMMENT ON) EXTENSION .*\n\n+",
    re.MULTILINE,
)
"""An extension in a dump, with its comment."""


@pytest.fixture
def strangers(engine: sa.Engine) -> None:
    """
    Objects that are not ours: of nobody, of another application, with misleading comments.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(STRANGERS)


@pytest.fixture
def dump(pg_dump: Callable[..., str]) -> Callable[[Database], str]:
    """
    `dump(database)`: its structure, without Alembic's own table.

    Nor extensions, which are everybody's and never dropped.
    """

    def of(database: Database) -> str:
        return EXTENSION.sub("", pg_dump(database, "--exclude-table=alembic_version"))

    return of
