"""
Comparisons that SQLAlchemy builds without asking the column, and functions that pass it on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, Equality
from tests.features.encryption.models import RING

if TYPE_CHECKING:
    from collections.abc import Callable

person = sa.Table(
    "Person",
    sa.MetaData(schema="Sales"),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("email", Encrypted(sa.String, RING, search=Equality())),
)
c = person.c
SECRET = "SECRET"  # what must not be sent

REFUSED: dict[str, Callable[[], Any]] = {
    "tuple": lambda: sa.tuple_(c.email, c.id).in_([(SECRET, 1)]),
    "tuples": lambda: sa.tuple_(c.id, c.email) == sa.tuple_(1, SECRET),
    "another column first": lambda: c.raw == c.email,
    "a literal first": lambda: sa.literal(SECRET) == c.email,
    "a cast first": lambda: sa.cast(SECRET, sa.LargeBinary) == c.email,
    "case": lambda: sa.case({SECRET: True}, value=c.email, else_=False),
    "nullif": lambda: sa.func.nullif(c.email, SECRET).is_(None),
    "greatest": lambda: sa.func.greatest(c.email, SECRET).is_(None),
}


@pytest.fixture
def rows(connection: sa.Connection) -> sa.Connection:
    """
    Two people.
    """
    connection.exec_driver_sql('CREATE SCHEMA "Sales"')
    person.metadata.create_all(connection)
    connection.execute(person.insert(), [{"id": 1, "email": "x"}, {"id": 2, "email": "y"}])
    return connection


@pytest.mark.parametrize("how", REFUSED)
def test_comparisons_with_a_ciphertext(rows: sa.Connection, how: str) -> None:
    """
    They would never be true, and the plaintext would go to the server: refused instead.
    """
    sent: list[str] = []

    def listen(_connection: Any, _cursor: Any, text: Any, values: Any, *_rest: Any) -> None:
        sent.append(f"{text} {values}")

    sa.event.listen(rows, "after_cursor_execute", listen)
    with pytest.raises(EncryptionError, match=r"Sales\.Person\.email"):
        rows.execute(sa.select(c.id).where(REFUSED[how]()))
    sa.event.remove(rows, "after_cursor_execute", listen)
    assert sent == []


@pytest.mark.parametrize("name", ["lag", "lead", "first_value", "last_value"])
def test_functions_that_give_a_value_of_another_row(rows: sa.Connection, name: str) -> None:
    """
    SQLAlchemy does not know what they give: that would be a ciphertext, unless it is told.
    """
    function: Any = getattr(sa.func, name)
    with pytest.raises(EncryptionError, match="type_="):
        rows.execute(sa.select(function(c.email).over(order_by=c.id)))
    told = function(c.email, type_=c.email.type).over(order_by=c.id)
    found = rows.execute(sa.select(told).order_by(c.id)).scalars().all()
    assert set(found) <= {"x", "y", None}
    assert {"x", "y"} & set(found)


def test_comparisons_that_stay(rows: sa.Connection) -> None:
    """
    What asks the blind index, and NULL, is as it was.
    """
    for asked in (
        c.email == "x",
        c.email.in_(["x"]),
        sa.and_(c.email.is_not(None), c.id == 1),
        sa.case((c.email == "x", True), else_=False),
        sa.type_coerce(c.email, sa.LargeBinary)
        == sa.select(sa.type_coerce(person.alias("p").c.email, sa.LargeBinary))
        .where(sa.text("p.id = 1"))
        .scalar_subquery(),
    ):
        assert rows.scalars(sa.select(c.id).where(asked)).all() == [1]
