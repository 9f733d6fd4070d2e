from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from pgultra.errors import DeclarationError, EncryptionError
from pgultra.features.encryption import Encrypted, EncryptedColumn, KeyRing, adopt, rotate

if TYPE_CHECKING:
    from collections.abc import Callable

RING = KeyRing("test_naming", {1: bytes(range(32)), 2: bytes(range(50, 82))})


def build(context: Callable[[Any], Any]) -> type[Any]:
    """
    Give a class whose attributes have other names than their columns.
    """

    class Base(DeclarativeBase):
        pass

    class Card(Base):
        __tablename__ = "card"

        id: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[int] = mapped_column("tenantId")
        number: Mapped[str | None] = EncryptedColumn(
            sa.String, keys=RING, name="theNumber", context=context(tenant)
        )

    return Card


@pytest.mark.parametrize(
    "context",
    [
        lambda _tenant: "tenantId",
        lambda _tenant: "tenant",
        lambda _tenant: ["tenant"],
        lambda tenant: tenant,
        lambda tenant: (tenant,),
        lambda tenant: tenant.column,
    ],
    ids=["key", "attribute", "list", "mapped_column", "tuple of it", "Column"],
)
def test_a_context_column_by_any_of_its_names(engine: sa.Engine, context: Any) -> None:
    """
    The key, the mapped attribute or the column itself; and every way of writing by attributes.
    """
    card = build(context)
    card.metadata.create_all(engine)
    assert card.number.type.context in (("tenantId",), ("tenant",))
    with Session(engine) as session:
        one = card(tenant=1, number="one")
        session.add(one)
        session.flush()
        session.execute(sa.insert(card), [{"tenant": 2, "number": "two"}])
        session.execute(sa.insert(card).values(tenant=3, number="three"))
        session.execute(sa.insert(card).values({card.tenant: 4, card.number: "four"}))
        session.execute(sa.insert(card.__table__), [{"tenantId": 5, "theNumber": "five"}])
        found = sa.select(card.tenant, card.number).order_by(card.tenant)
        words = ["one", "two", "three", "four", "five"]
        assert session.execute(found).all() == list(enumerate(words, 1))

        session.execute(sa.update(card).where(card.tenant == 2).values(number="zwei"))
        session.execute(sa.update(card).where(card.id == one.id).values(tenant=6, number="six"))
        session.execute(sa.update(card).where(card.tenant == 3).values({card.number: "drei"}))
        session.execute(sa.update(card), [{"id": one.id, "tenant": 7, "number": "seven"}])
        new = insert(card).values(id=one.id, tenant=8, number="eight")
        excluded = {"tenantId": new.excluded.tenantId, "theNumber": new.excluded.theNumber}
        session.execute(new.on_conflict_do_update(index_elements=["id"], set_=excluded))
        with pytest.raises((EncryptionError, sa.exc.StatementError), match="is bound to"):
            session.execute(sa.update(card).where(card.id == one.id).values(tenant=9))
        expected = [(2, "zwei"), (3, "drei"), (4, "four"), (5, "five"), (8, "eight")]
        assert session.execute(found).all() == expected
        session.commit()
    with engine.connect() as connection:
        assert rotate(connection, card.number).complete


def test_a_name_of_two_columns_is_refused() -> None:
    """
    One column's key that is another's attribute: nobody can know which was meant.
    """

    class Base(DeclarativeBase):
        pass

    class Swapped(Base):
        __tablename__ = "swapped"

        id: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[int] = mapped_column("owner")
        owner: Mapped[int] = mapped_column("tenant")
        value: Mapped[str] = EncryptedColumn(sa.String, keys=RING, context="tenant")

    with pytest.raises(DeclarationError, match=r"'tenant' is the key of one.*attribute of 'owner'"):
        sa.select(Swapped.value).compile()


def test_a_column_without_a_name_is_refused() -> None:
    """
    Told when the table is made, not when it is used.
    """
    with pytest.raises(DeclarationError, match="has no name"):
        sa.Table(
            "nameless",
            sa.MetaData(),
            sa.Column("value", Encrypted(sa.String, RING, context=sa.Column())),
        )


def test_attributes_of_mapped_classes_and_dataclasses(engine: sa.Engine) -> None:
    """
    A class that exists already gives its attribute; ``dual`` and ``from_`` take attributes too.
    """

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Client(Base):
        __tablename__ = "client"

        id: Mapped[int] = mapped_column(primary_key=True)
        phone_plain: Mapped[str | None] = mapped_column("phone")
        phone: Mapped[str | None] = mapped_column(
            "phone_sealed", Encrypted(sa.String, RING, dual="phone_plain"), init=False
        )
        other: Mapped[str | None] = mapped_column(Encrypted(sa.String, RING), init=False)

    Base.metadata.create_all(engine)
    with engine.connect() as connection:
        with connection.begin():
            connection.execute(sa.text("INSERT INTO client (id, phone) VALUES (1, '555')"))
        assert adopt(connection, Client.phone).complete
        assert adopt(connection, Client.other, from_=Client.phone_plain).complete
        assert adopt(connection, Client.other, from_="phone_plain").complete
    with Session(engine) as session:
        assert session.execute(sa.select(Client.phone, Client.other)).all() == [("555", "555")]
    copied = sa.Table(
        "copied",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", Encrypted(sa.String, RING, context=Client.id)),
    )
    assert copied.c.value.type.context == ("id",)
