"""
Blind indexes over texts with a limit, and over what a type decorator makes of an object.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyRing, Prefix

RING = KeyRing("test_texts", {1: bytes(range(32))})


def made(connection: sa.Connection, type_: Any, search: Any) -> sa.Table:
    table = sa.Table(
        "person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", Encrypted(type_, RING, search=search)),
    )
    table.metadata.create_all(connection)
    return table


def found(connection: sa.Connection, table: sa.Table, value: Any) -> list[int]:
    return list(connection.scalars(sa.select(table.c.id).where(table.c.name == value)))


def test_a_limit_is_of_what_is_stored(connection: sa.Connection) -> None:
    """
    Its normal form may be longer, and what is searched for too, as with a plain column.
    """
    table = made(connection, sa.String(5), Equality(normalize="casefold"))
    connection.execute(table.insert().values(id=1, name="Groß!"))
    assert found(connection, table, "GROSS!") == [1]
    assert not found(connection, table, "much too long")
    with pytest.raises(EncryptionError, match="does not fit"):
        connection.execute(table.insert().values(id=2, name="much too long"))


class Address:
    def __init__(self, text: str) -> None:
        self.text = text


class AddressType(sa.TypeDecorator[Address]):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Address | None, dialect: object) -> str | None:
        return value.text.casefold() if value is not None else None

    def process_result_value(self, value: str | None, dialect: object) -> Address | None:
        return Address(value) if value is not None else None


@pytest.mark.parametrize("search", [Equality(normalize="casefold"), Prefix(3)])
def test_normal_forms_of_objects_are_refused(connection: sa.Connection, search: Any) -> None:
    """
    They would be passed over: the decorator has to make them.
    """
    table = made(connection, AddressType, search)
    with pytest.raises(EncryptionError, match=r"person\.name: normalize and Prefix are of text"):
        connection.execute(table.insert().values(id=1, name=Address("Ann@X")))


def test_a_decorator_makes_the_normal_form(connection: sa.Connection) -> None:
    """
    As the error says.
    """
    table = made(connection, AddressType, Equality())
    connection.execute(table.insert().values(id=1, name=Address("Ann@X")))
    assert found(connection, table, Address("ANN@x")) == [1]
