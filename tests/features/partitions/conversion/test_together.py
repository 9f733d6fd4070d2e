from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as some

from pgultra import sql
from pgultra.features.partitions import ByRange, convert, undo_conversion
from pgultra.features.partitions.conversion.together import block, together
from pgultra.plan import declare
from tests.features.partitions.conversion.apart import apart

if TYPE_CHECKING:
    from sqlalchemy import Connection

FULL = "CREATE TABLE event (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at))"
STAMPS = "INSERT INTO event SELECT g, '2026-01-01Z'::timestamptz + g * interval '1 day' FROM generate_series(0, {}) AS g"


@pytest.mark.slow
@given(some.lists(some.text(some.characters(codec="utf-8", exclude_characters="\x00")), min_size=1))
def test_what_was_put_together_comes_apart(texts: list[str]) -> None:
    """
    Quotes, dollars, backslashes, tabs and percent signs included.
    """
    assert apart(block(texts).replace("%", "%%")) == texts


@pytest.mark.parametrize(
    "odd", ["it's", "$$ $pgultra$", "a\\b", "tab\there", "100 %", ":name", "%%"]
)
def test_odd_texts_arrive_as_they_are(connection: Connection, odd: str) -> None:
    """
    The server executes what was given, whatever is in it.
    """
    connection.exec_driver_sql("CREATE TABLE thing (id int)")
    together(
        connection,
        [
            f"COMMENT ON TABLE thing IS {sql.literal(odd)}",
            f"COMMENT ON COLUMN thing.id IS {sql.literal(odd * 2)}",
        ],
    )
    asked = "SELECT obj_description('thing'::regclass), col_description('thing'::regclass, 1)"
    assert tuple(connection.exec_driver_sql(asked).one()) == (odd, odd * 2)


def test_an_error_quotes_the_statement(connection: Connection) -> None:
    """
    And has the SQLSTATE that it would have had.
    """
    with pytest.raises(sa.exc.ProgrammingError) as caught, connection.begin_nested():
        together(connection, ["CREATE TABLE one (id int)", "DROP TABLE nowhere"])
    assert isinstance(caught.value.orig, psycopg.errors.UndefinedTable)
    assert 'SQL statement "DROP TABLE nowhere"' in str(caught.value.orig)
    assert connection.exec_driver_sql("SELECT to_regclass('one')").scalar_one() is None


def under_lock(engine: sa.Engine, months: int) -> list[int]:
    """
    For a table of so many months: messages sent from the lock to the commit, there and back.
    """
    table = sa.Table(
        "event",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    declare(table, ByRange("at", every="1 month", start=start))
    with engine.begin() as connection:
        connection.exec_driver_sql(FULL)
        connection.exec_driver_sql(STAMPS.format(months * 30))
    sent: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        sent.append(text)

    @sa.event.listens_for(engine, "commit")
    def over(connection: Any) -> None:
        sent.append("COMMIT")

    with engine.connect() as connection:
        convert(connection, table)
        undo_conversion(connection, table)
    locked = [
        at
        for at, text in enumerate(sent)
        if text.startswith("LOCK TABLE") and "journal" not in text
    ]
    assert len(locked) == 2
    return [sent.index("COMMIT", at) - at for at in locked]


@pytest.mark.slow
def test_messages_under_the_lock_do_not_grow_with_the_table(
    engine: sa.Engine, new_database: Any
) -> None:
    """
    However many partitions there are: nobody waits for the network a hundred times.
    """
    few, many = under_lock(engine, 3), under_lock(new_database().engine(), 30)
    assert few == many
    assert max(few) < 10
