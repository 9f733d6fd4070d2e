"""
What others do to a table while it is converted is noticed before the exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion.orders import (
    ORDER,
    ROWS,
    SCHEMA,
    asked,
    do,
    order,
    orders,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

CHANGES = {
    "row security": (f"ALTER TABLE {ORDER} ENABLE ROW LEVEL SECURITY",),
    "forced": (f"ALTER TABLE {ORDER} FORCE ROW LEVEL SECURITY",),
    "comment": (f"COMMENT ON TABLE {ORDER} IS 'hello'",),
    "comment of a column": (f"COMMENT ON COLUMN {ORDER}.note IS 'private'",),
    "options": (f"ALTER TABLE {ORDER} SET (fillfactor = 50)",),
    "replica identity": (f"ALTER TABLE {ORDER} REPLICA IDENTITY FULL",),
    "statistics": (f"CREATE STATISTICS {qualified(SCHEMA, 'more')} ON id, note FROM {ORDER}",),
    "a foreign key to it": (
        (
            f"CREATE TABLE remark (order_id bigint, at timestamptz, "
            f"FOREIGN KEY (order_id, at) REFERENCES {ORDER} (id, at))"
        ),
    ),
}


def during(engine: sa.Engine, when: str, *texts: str) -> Callable[[str], None]:
    """
    Somebody who runs statements when a step begins.
    """

    def write(step: str) -> None:
        if step == when:
            do(engine, *texts)

    return write


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_table_that_was_altered_is_not_exchanged(engine: sa.Engine, name: str) -> None:
    """
    What only the making of the new table takes along would be lost: the exchange stops.
    """
    orders(engine, f"ALTER TABLE {ORDER} ADD UNIQUE (id, at)")
    model = order()
    with engine.connect() as connection:
        with pytest.raises(PgultraError, match="was altered since the conversion began"):
            convert(connection, model, announce=during(engine, "compare", *CHANGES[name]))
        undo_conversion(connection, model)
        convert(connection, model)
        finish_conversion(connection, model)
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS


def test_triggers_that_were_disabled_for_a_load(engine: sa.Engine) -> None:
    """
    A load that switches all triggers off and on again is not lost, before the exchange or after.
    """
    orders(engine)
    model = order()
    load = (
        f"ALTER TABLE {ORDER} DISABLE TRIGGER ALL",
        f"UPDATE {ORDER} SET note = '{{}}'",
        f"ALTER TABLE {ORDER} ENABLE TRIGGER ALL",
    )
    count = f"SELECT count(*) FROM {ORDER} WHERE note = '{{}}'"
    first, second = ([text.format(word) for text in load] for word in ("first", "second"))
    with engine.connect() as connection:
        convert(connection, model, announce=during(engine, "exchange", *first))
        assert asked(engine, count.format("first")) == ROWS
        undo_conversion(connection, model, announce=during(engine, "compare", *second))
        assert asked(engine, count.format("second")) == ROWS


def test_triggers_that_are_disabled_under_its_eyes(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The last look is taken under the lock; started again, the conversion compares once more.
    """
    from pgultra.features.partitions.conversion import run

    orders(engine)
    model = order()
    rehome = run.rehome

    def late(*given: object) -> bool:
        do(engine, f"ALTER TABLE {ORDER} DISABLE TRIGGER ALL", f"UPDATE {ORDER} SET note = 'late'")
        return rehome(*given)  # type: ignore[arg-type]  # as they are given

    with engine.connect() as connection:
        monkeypatch.setattr(run, "rehome", late)
        with pytest.raises(PgultraError, match="were disabled meanwhile"):
            convert(connection, model)
        monkeypatch.setattr(run, "rehome", rehome)
        convert(connection, model)
    assert asked(engine, f"SELECT count(*) FROM {ORDER} WHERE note = 'late'") == ROWS


def test_a_subscription_feeds_the_table(engine: sa.Engine) -> None:
    """
    It would feed the old table for ever: it is an obstacle, with the way out.
    """
    orders(engine)
    name = f"feeding_{engine.url.database}"
    do(
        engine,
        f"CREATE SUBSCRIPTION {name} CONNECTION 'dbname=none' PUBLICATION p "
        "WITH (connect = false, slot_name = NONE)",
        f"INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        f"SELECT oid, '{ORDER}'::regclass, 'r' FROM pg_subscription WHERE subname = '{name}'",
    )
    try:
        with (
            engine.connect() as connection,
            pytest.raises(PgultraError, match=f"subscription {name} feeds it"),
        ):
            convert(connection, order())
    finally:
        do(engine, f"DROP SUBSCRIPTION {name}")
    assert qualified(SCHEMA, "Order") == ORDER


def test_a_deferrable_primary_key(engine: sa.Engine) -> None:
    """
    Rows cannot be told apart by it while they are copied: it is an obstacle.
    """
    orders(
        engine,
        f'ALTER TABLE {ORDER} DROP CONSTRAINT "Order_pkey"',
        f"ALTER TABLE {ORDER} ADD PRIMARY KEY (id, at) DEFERRABLE",
    )
    with engine.connect() as connection, pytest.raises(PgultraError, match="is DEFERRABLE"):
        convert(connection, order())
