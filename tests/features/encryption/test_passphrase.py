"""
A passphrase that the server must see is told to nobody else.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features.encryption import Encrypted, KeyRing, PgcryptoColumn, adopt

if TYPE_CHECKING:
    from collections.abc import Callable

RING = KeyRing("test_passphrase", {1: bytes(range(32))})
PASSPHRASE = "-".join(["correct", "horse", "battery"])
"""Made up here, since a traceback prints the lines of the source."""

table = sa.Table(
    "person",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("phone", PgcryptoColumn(lambda: PASSPHRASE)),
    sa.Column("sealed", Encrypted(sa.String, RING, index_keys=False)),
)


def read(connection: sa.Connection) -> None:
    connection.execute(sa.select(table.c.phone).where(table.c.id == 1))


def write(connection: sa.Connection) -> None:
    connection.execute(table.insert().values(id=1, phone="".join(["555", "0100"])))


@pytest.mark.needs("pgcrypto")
@pytest.mark.parametrize("act", [read, write])
def test_exceptions_do_not_tell_it(engine: sa.Engine, act: Callable[[sa.Connection], Any]) -> None:
    """
    A damaged row, and a row that is there already.
    """
    bare = sa.Table(
        "person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("phone", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION pgcrypto")
        bare.metadata.create_all(connection)
        connection.execute(bare.insert().values(id=1, phone=b"damaged"))
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        act(connection)
    text = "".join(traceback.format_exception(caught.value))
    assert PASSPHRASE not in text
    assert "5550100" not in text
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        adopt(connection, table.c.sealed, from_="phone")
    assert PASSPHRASE not in "".join(traceback.format_exception(caught.value))
