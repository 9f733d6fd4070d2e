"""
The journal goes with its last line, and never while another conversion begins.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra import declare
from pgultra.features.partitions import ByRange, convert, finish_conversion, undo_conversion
from pgultra.features.partitions.conversion.journal import Journal
from pgultra.sql import qualified
from tests.features.partitions.conversion.orders import SCHEMA, do, order, orders

if TYPE_CHECKING:
    import pytest

    from pgultra.features.partitions.conversion.journal import Entry

OTHER = qualified(SCHEMA, "Other")


def test_another_conversion_begins_meanwhile(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is neither deleted nor lost: the one that ends waits for it, and finds its line.
    """
    other = sa.Table("Other", sa.MetaData(), schema=SCHEMA)
    other.append_column(sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False))
    other.append_column(sa.Column("at", sa.DateTime(timezone=True), primary_key=True))
    declare(other, ByRange("at", every="1 month"))
    orders(engine)
    do(engine, f"CREATE TABLE {OTHER} (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
    model = order()
    with engine.connect() as connection:
        convert(connection, model)
    asked_twice = threading.Event()
    failed: list[BaseException] = []

    def finish() -> None:
        try:
            with engine.connect() as connection:
                finish_conversion(connection, model)
        except BaseException as error:
            failed.append(error)

    ending = threading.Thread(target=finish)
    lines, write = Journal._lines, Journal.write

    def looked(self: Journal, connection: Any) -> bool:
        found = lines(self, connection)
        asked_twice.set()
        return found

    def written(self: Journal, connection: Any, entry: Entry) -> None:
        write(self, connection, entry)
        if self.table == "Other" and entry.step == "build":
            ending.start()
            assert asked_twice.wait(10)  # it sees no line but its own, and waits for us

    monkeypatch.setattr(Journal, "_lines", looked)
    monkeypatch.setattr(Journal, "write", written)
    with engine.connect() as connection:
        convert(connection, other)
        ending.join()
        assert not failed
        undo_conversion(connection, other)
