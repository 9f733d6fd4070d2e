"""
A transaction that began before the copy was complete never sees a table without its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra.errors import PgultraError
from pgultra.features.partitions import convert, undo_conversion
from tests.features.partitions.conversion.belongings import run
from tests.features.partitions.conversion.orders import ORDER, ROWS, do, order, orders

if TYPE_CHECKING:
    import sqlalchemy as sa

COUNT = f"SELECT count(*) FROM {ORDER}"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_the_exchange_waits_for_older_snapshots(engine: sa.Engine, level: str) -> None:
    """
    It names the session, and started again it goes on from there.
    """
    orders(engine)
    model = order()
    older = engine.execution_options(isolation_level=level)
    with older.connect() as reader, engine.connect() as connection:
        pid = run(reader, "SELECT pg_backend_pid() FROM pg_class LIMIT 1").scalar()
        with pytest.raises(PgultraError, match=rf"the session with pid {pid} began before"):
            convert(connection, model, patience=0.5)
        assert run(reader, COUNT).scalar() == ROWS
        reader.commit()
        assert convert(connection, model).rows == ROWS
        assert run(reader, COUNT).scalar() == ROWS


def test_who_reads_what_is_committed_is_not_waited_for(engine: sa.Engine) -> None:
    """
    READ COMMITTED takes a new snapshot for each statement, and one that begins now sees all.
    """
    orders(engine)
    model = order()
    later = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as idle, later.connect() as reader, engine.connect() as connection:
        run(idle, "SELECT 1 FROM pg_class LIMIT 1")

        def begin(step: str) -> None:
            if step == "exchange":
                run(reader, "SELECT 1 FROM pg_class LIMIT 1")

        convert(connection, model, patience=5, announce=begin)
        assert run(idle, COUNT).scalar() == ROWS
        assert run(reader, COUNT).scalar() == ROWS


@pytest.mark.slow
def test_the_way_back_waits_when_it_mended_rows(engine: sa.Engine) -> None:
    """
    Rows that the comparison brings to the old table are not hidden from older snapshots either.
    """
    orders(engine)
    model = order()
    older = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection, older.connect() as reader:
        convert(connection, model)
        do(
            engine,
            "SET LOCAL session_replication_role = replica",
            f"ALTER TABLE {ORDER} DISABLE TRIGGER ALL",
            f"UPDATE {ORDER} SET note = 'x'",
            f"ALTER TABLE {ORDER} ENABLE TRIGGER ALL",
        )
        run(reader, "SELECT 1 FROM pg_class LIMIT 1")
        with pytest.raises(PgultraError, match="began before"):
            undo_conversion(connection, model, patience=0.5)
        reader.rollback()
        undo_conversion(connection, model)
        assert run(reader, f"{COUNT} WHERE note = 'x'").scalar() == ROWS
