"""
The unit of work: what is written together, what is left alone, and classes that share a table.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, EncryptedColumn
from tests.features.encryption.models import RING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="Sales")


class Person(Base):
    __tablename__ = "Person"

    id: Mapped[int] = mapped_column("Id", primary_key=True)
    tenant: Mapped[int] = mapped_column("Tenant Id")
    region: Mapped[str | None]
    name: Mapped[str | None] = mapped_column(unique=True)
    iban: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context="tenant")
    phone: Mapped[str | None] = EncryptedColumn(
        sa.String, keys=RING, context=("tenant", "id"), deferred=True
    )
    note: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context=("tenant", "region"))


@pytest.fixture
def people(engine: sa.Engine) -> Callable[[], Session]:
    """
    Sessions of their own over two rows.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Sales"')
        Base.metadata.create_all(connection)
    with Session(engine) as session:
        for n in (1, 2):
            session.add(
                Person(id=n, tenant=n, region="r", iban="i", phone="p", note="n", name=f"{n}")
            )
        session.commit()
    return lambda: Session(engine)


def found(sessions: Callable[[], Session], key: int = 1) -> tuple[Any, ...]:
    """
    What is in the database.
    """
    with sessions() as session:
        person = session.get_one(Person, key)
        return person.tenant, person.iban, person.phone, person.note


@pytest.mark.parametrize("field", ["iban", "phone", "note"])
def test_one_of_several_values_is_written_alone(people: Callable[[], Session], field: str) -> None:
    """
    Columns that share a context do not bring each other along, nor their context.
    """
    texts: list[str] = []
    with people() as session:
        engine: Any = session.bind

        def listen(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
            texts.append(text)

        person = session.get_one(Person, 1)
        sa.event.listen(engine, "after_cursor_execute", listen)
        setattr(person, field, "new")
        session.flush()
        sa.event.remove(engine, "after_cursor_execute", listen)
        session.commit()
    written = next(text for text in texts if text.startswith("UPDATE"))
    assert written.partition(" SET ")[2].startswith(f"{field}=")
    assert "," not in written.partition(" SET ")[2].partition(" WHERE ")[0]
    expected = {"iban": "i", "phone": "p", "note": "n"} | {field: "new"}
    assert found(people) == (1, *expected.values())


def test_a_context_that_moves_brings_all_values_along(people: Callable[[], Session]) -> None:
    """
    Every value that is bound to it is sealed anew, be it loaded or not.
    """
    with people() as session:
        session.get_one(Person, 1).tenant = 9
        session.get_one(Person, 2).region = "elsewhere"
        session.commit()
    assert found(people) == (9, "i", "p", "n")
    assert found(people, 2) == (2, "i", "p", "n")


def test_a_row_that_moved_meanwhile(people: Callable[[], Session]) -> None:
    """
    A value is sealed for the tenant that the row has, and the move of another is not undone.
    """
    with people() as mine, people() as other:
        person = mine.get_one(Person, 1)
        other.get_one(Person, 1).tenant = 7
        other.commit()
        person.iban = "new"
        mine.commit()
        assert (person.tenant, person.iban) == (7, "new")
    assert found(people) == (7, "new", "p", "n")


def test_a_value_that_changed_meanwhile(people: Callable[[], Session]) -> None:
    """
    A move takes along the value that is there, and not one that was read before.
    """
    with people() as mine, people() as other:
        person = mine.get_one(Person, 1)
        assert (person.iban, person.phone) == ("i", "p")
        one = other.get_one(Person, 1)
        one.iban, one.phone = "newer", "newer"
        other.commit()
        person.tenant = 5
        mine.commit()
    assert found(people) == (5, "newer", "newer", "n")


def test_many_objects_in_one_flush(people: Callable[[], Session]) -> None:
    """
    Contexts are read again for all of them at once, and each row gets its own.
    """
    with people() as session:
        session.add_all([Person(id=n, tenant=n, region=f"{n}", note="old") for n in range(10, 40)])
        session.commit()
        several = session.scalars(sa.select(Person).where(Person.id >= 10)).all()
        reads: list[str] = []

        def listen(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
            reads.append(text)

        engine: Any = session.bind
        sa.event.listen(engine, "after_cursor_execute", listen)
        for person in several:
            person.note = f"new{person.id}"
        session.flush()
        sa.event.remove(engine, "after_cursor_execute", listen)
        session.commit()
        assert [text[:6] for text in reads] == ["SELECT", "UPDATE"]
        assert [person.note for person in several] == [f"new{n}" for n in range(10, 40)]


def test_what_a_failed_flush_told_is_forgotten(people: Callable[[], Session]) -> None:
    """
    A statement of one's own does not find a context that was told for another.
    """
    with people() as session:
        person = session.get_one(Person, 2)
        savepoint = session.begin_nested()
        person.iban, person.name = "new", "1"
        with pytest.raises(IntegrityError):
            session.flush()
        savepoint.rollback()
        with pytest.raises(EncryptionError, match="does not tell"):
            session.execute(sa.update(Person).where(Person.id == 2).values(iban="new"))
        session.commit()
    assert found(people, 2) == (2, "i", "p", "n")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_asynchronous_sessions(
    people: Callable[[], Session], database: Database, driver: str
) -> None:
    """
    The same holds with an AsyncSession, for one row and for many.
    """
    async with AsyncSession(database.async_engine(driver)) as mine:
        several = [await mine.get_one(Person, key) for key in (1, 2)]
        with people() as other:
            other.get_one(Person, 1).tenant = 7
            other.commit()
        for person in several:
            person.iban = "new"
        await mine.commit()
        one = sa.update(Person).where(Person.id == 2, Person.tenant == 2).values(iban="newer")
        await mine.execute(one)
        await mine.commit()
    assert found(people) == (7, "new", "p", "n")
    assert found(people, 2) == (2, "newer", "p", "n")


class Employee(Base):
    __tablename__ = "Employee"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str | None]
    plain: Mapped[str | None]
    secret: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING)
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}  # noqa: RUF012  # as SQLAlchemy has it


class Manager(Employee):
    bank: Mapped[int | None] = mapped_column(default=3)
    iban: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context=("bank", "id"))
    sealed: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, dual="plain")
    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012  # as SQLAlchemy has it


class Guard(Employee):
    __mapper_args__ = {"polymorphic_identity": "guard"}  # noqa: RUF012  # as SQLAlchemy has it


class Narrow(Base):
    __table__ = sa.Table(
        "narrow",
        Base.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.Integer),
        sa.Column("name", sa.Text),
        sa.Column("iban", Encrypted(sa.String, RING, context="tenant")),
    )
    __mapper_args__ = {"exclude_properties": ["iban"]}  # noqa: RUF012  # as SQLAlchemy has it
    id: Mapped[int]
    name: Mapped[str]


def test_classes_without_the_column(people: Callable[[], Session]) -> None:
    """
    A class that shares the table, or leaves the column out, is written as any other.
    """
    with people() as session:
        session.add_all([Employee(id=1, plain="x"), Guard(id=2, name="g"), Manager(id=3, iban="i")])
        session.add(Narrow(id=1, name="a"))
        session.commit()
        session.get_one(Guard, 2).name = "h"
        session.get_one(Narrow, 1).name = "b"
        session.get_one(Manager, 3).iban = "j"
        session.commit()
        assert session.get_one(Manager, 3).iban == "j"
        assert session.scalar(sa.select(Narrow.name)) == "b"


def test_a_class_that_comes_later(engine: sa.Engine) -> None:
    """
    A column that a subclass adds to a table in use is known from then on.
    """

    class Late(DeclarativeBase):
        pass

    class Parent(Late):
        __tablename__ = "parent"

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        note: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING)
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "parent"}  # noqa: RUF012  # as SQLAlchemy has it

    with Session(engine) as session:
        Late.metadata.create_all(session.connection())
        session.add(Parent(id=1))
        session.rollback()

    class Child(Parent):
        iban: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context="id")
        __mapper_args__ = {"polymorphic_identity": "child"}  # noqa: RUF012  # as SQLAlchemy has it

    with Session(engine) as session:
        Late.metadata.create_all(session.connection())
        session.add(Parent(id=1))
        session.add(Child(id=2, iban="x"))
        session.commit()
        assert session.get_one(Child, 2).iban == "x"


def test_defaults_of_value_and_context(session: Session) -> None:
    """
    Both are taken before the row is sealed.
    """

    class Own(DeclarativeBase):
        pass

    class Wallet(Own):
        __tablename__ = "wallet"

        id: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
        iban: Mapped[str] = EncryptedColumn(sa.String, keys=RING, context="tenant", default="none")

    Own.metadata.create_all(session.connection())
    session.add_all([Wallet(id=1), Wallet(id=2, iban="x")])
    session.flush()
    session.execute(sa.insert(Wallet), [{"id": 3}, {"id": 4}])
    session.bulk_save_objects([Wallet(id=5), Wallet(id=6, iban="y")])
    values = session.scalars(sa.select(Wallet.iban).order_by(Wallet.id)).all()
    assert values == ["none", "x", "none", "none", "none", "y"]


def test_bulk_writes_both_while_a_plaintext_is_replaced(session: Session) -> None:
    """
    Rows that give the new value alone get the plain one too, in every bulk form.
    """

    class Own(DeclarativeBase):
        pass

    class Customer(Own):
        __tablename__ = "customer"

        id: Mapped[int] = mapped_column(primary_key=True)
        plain: Mapped[str | None] = mapped_column("the Mail")
        email: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, dual="plain")

    Own.metadata.create_all(session.connection())
    session.bulk_save_objects([Customer(id=1, email="a")])
    session.execute(sa.insert(Customer), [{"id": 2, "email": "b"}, {"id": 3, "email": None}])
    session.execute(sa.insert(Customer), [{"id": 4, "email": "d", "plain": "given"}])
    session.execute(sa.update(Customer), [{"id": 2, "email": "bb"}])
    mails = sa.text('SELECT "the Mail" FROM customer ORDER BY id')
    assert session.scalars(mails).all() == ["a", "bb", None, "given"]


def test_post_update_of_a_context(people: Callable[[], Session]) -> None:
    """
    The second UPDATE that ``post_update=`` makes cannot move a context: it raises.
    """

    class Own(DeclarativeBase):
        pass

    class Shop(Own):
        __tablename__ = "shop"

        id: Mapped[int] = mapped_column(primary_key=True)
        best_id: Mapped[int | None] = mapped_column(sa.ForeignKey("shop.id"))
        note: Mapped[str | None] = EncryptedColumn(sa.String, keys=RING, context="best_id")
        best: Mapped[Any] = relationship("Shop", remote_side="Shop.id", post_update=True)

    with people() as session:
        Own.metadata.create_all(session.connection())
        one = Shop(id=1, note="n")
        one.best = Shop(id=2)
        session.add(one)
        with pytest.raises(EncryptionError, match="must write the encrypted value too"):
            session.flush()
