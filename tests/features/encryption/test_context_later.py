"""
A context that comes when values are there, and one that a caller forgets.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption import Encrypted, KeyRing, adopt, verify

RING = KeyRing("test_context_later", {1: bytes(range(32))})


def test_a_new_column_adopts_from_the_old(engine: sa.Engine) -> None:
    """
    Values that were sealed without a context do not open with one.
    """

    def account(*columns: sa.Column[Any]) -> sa.Table:
        key: sa.Column[int] = sa.Column("id", sa.Integer, primary_key=True)
        tenant: sa.Column[int] = sa.Column("tenant", sa.Integer)
        return sa.Table("account", sa.MetaData(), key, tenant, *columns)

    before = account(sa.Column("iban", Encrypted(sa.String, RING, id="account.iban")))
    wrong = account(
        sa.Column("iban", Encrypted(sa.String, RING, id="account.iban", context="tenant"))
    )
    after = account(
        sa.Column("iban", Encrypted(sa.String, RING, id="account.iban")),
        sa.Column("bound", Encrypted(sa.String, RING, id="account.bound", context="tenant")),
    )
    after.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(before.insert().values(id=1, tenant=7, iban="x"))
        with pytest.raises(DecryptionError):
            connection.execute(sa.select(wrong.c.iban)).all()
    with engine.connect() as connection:
        assert adopt(connection, after.c.bound, from_="iban").complete
        assert verify(connection, after.c.bound, from_="iban").complete
        assert connection.scalar(sa.select(after.c.bound)) == "x"


def test_sealing_by_hand_needs_the_context() -> None:
    """
    Without it the value would never open.
    """
    bound: Any = Encrypted(sa.String, RING, id="account.bound", context="tenant")
    with pytest.raises(EncryptionError, match="bound to tenant: seal takes 1 parts"):
        bound.seal("x")
    free: Any = Encrypted(sa.String, RING, id="account.free")
    with pytest.raises(EncryptionError, match="bound to nothing: seal takes 0 parts"):
        free.seal("x", [b"7"])
    assert bound.box.open(bound.seal("x", [b"7"]), context=[b"7"]) == b"x"
