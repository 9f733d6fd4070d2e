"""
Where a column stands, and what a statement asks of it by name.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.errors import DeclarationError, EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyRing

RING = KeyRing("test_placed", {1: bytes(range(32))})


def column(name: str, **more: Any) -> sa.Column[str]:
    return sa.Column(name, Encrypted(sa.String, RING, search=Equality(), **more))


def person(*columns: sa.Column[Any]) -> sa.Table:
    key: sa.Column[int] = sa.Column("id", sa.Integer, primary_key=True)
    return sa.Table("person", sa.MetaData(), key, sa.Column("name", sa.String), *columns)


@pytest.mark.parametrize("default", ["none", sa.text("'none'"), sa.Computed("name")])
def test_the_server_gives_no_default(default: Any) -> None:
    """
    It would be stored as it is.
    """
    of: Any = Encrypted(sa.String, RING)
    options = [default] if isinstance(default, sa.Computed) else []
    more: Any = {} if options else {"server_default": default}
    with pytest.raises(DeclarationError, match=r"person\.email: server_default= would be stored"):
        person(sa.Column("email", of, *options, **more))


def test_an_id_is_of_one_column() -> None:
    """
    What was sealed for one would open in the other.
    """
    with pytest.raises(DeclarationError, match=r"has the id 'p\.e' of person\.email"):
        person(column("email", id="p.e"), column("phone", id="p.e"))


@pytest.mark.parametrize("other", ["phone", "name"])
def test_a_parameter_is_asked_of_one_column(connection: sa.Connection, other: str) -> None:
    """
    It is sent once, as the tag of one of them: the other would find nothing.
    """
    table = person(column("email"), column("phone"))
    table.metadata.create_all(connection)
    row = {"id": 1, "name": "q", "email": "q", "phone": "q"}
    connection.execute(table.insert(), row)
    q = sa.bindparam("q")
    for where in (
        sa.or_(table.c.email == q, table.c[other] == q),
        sa.or_(table.c[other] == sa.bindparam("q"), table.c.email == sa.bindparam("q")),
    ):
        with pytest.raises(EncryptionError, match="a parameter of its own"):
            connection.execute(sa.select(table.c.id).where(where), {"q": "q"})
    where = sa.or_(table.c.email == q, table.c[other] == sa.bindparam("r"))
    for _ in range(2):
        found = connection.execute(sa.select(table.c.id).where(where), {"q": "x", "r": "q"})
        assert found.scalars().all() == [1]
    where = sa.and_(table.c.email == q, table.c.email == q)
    assert connection.scalar(sa.select(table.c.id).where(where), {"q": "q"}) == 1
