"""
What ``find`` returns: every row that holds the value, once for each time that it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyRing, Prefix, find

if TYPE_CHECKING:
    from pgultra.features.encryption.search import Search

RING = KeyRing("test_finding_rows", {1: bytes(range(32))})


def made(engine: sa.Engine, search: Search, cities: list[str], **more: Any) -> sa.Table:
    table = sa.Table(
        "person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String),
        sa.Column("city", Encrypted(sa.String, RING, search=search, **more)),
    )
    table.metadata.create_all(engine)
    rows = [{"id": n, "name": "Ann", "city": city} for n, city in enumerate(cities)]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
    return table


def test_equal_values_of_several_rows(engine: sa.Engine) -> None:
    """
    Three people called Ann are three.
    """
    table = made(engine, Equality(bits=12), ["Paris", "Paris", "Rome", "Paris"])
    with Session(engine) as session:
        assert find(session, sa.select(table.c.name), table.c.city, "Paris") == ["Ann"] * 3


def test_a_value_is_normalised_once(engine: sa.Engine) -> None:
    """
    Where doing it again would change it: NFKC makes a blank of the accent, which strip takes.
    """
    search = Equality(bits=100, normalize=("strip", "nfkc"))
    table = made(engine, search, ["\u00a8x"])
    with Session(engine) as session:
        assert find(session, sa.select(table.c.id), table.c.city, "\u00a8x") == [0]


def test_bounds_come_after_the_filter(engine: sa.Engine) -> None:
    """
    LIMIT by any other name is refused too.
    """
    table = made(engine, Equality(bits=1), ["Paris"])
    statement = sa.select(table.c.id).order_by(table.c.id)
    with Session(engine) as session:
        for bounded in (statement.limit(1), statement.fetch(1), statement.offset(1)):
            with pytest.raises(EncryptionError, match="slice what it returns"):
                find(session, bounded, table.c.city, "Paris")


def test_a_damaged_value_is_not_found(engine: sa.Engine) -> None:
    """
    Nor does it keep the others from being found.
    """
    table = made(engine, Prefix(3), ["Milan", "Milos"], errors="quarantine")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE person SET city = set_byte(city, length(city) - 1, "
            "get_byte(city, length(city) - 1) # 1) WHERE id = 1"
        )
    with Session(engine) as session:
        assert find(session, sa.select(table.c.id), table.c.city, starts_with="Mil") == [0]
