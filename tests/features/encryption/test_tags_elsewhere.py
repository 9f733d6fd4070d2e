"""
Tags where SQLAlchemy puts expressions of its own: in lazy loads, and in targets of conflicts.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)

from pgultra.features.encryption import Encrypted, EncryptedColumn, Equality, KeyRing, blind_index

RING = KeyRing("test_tags_elsewhere", {1: bytes(range(32))})


@pytest.mark.parametrize("load", ["lazy", joinedload, selectinload])
@pytest.mark.parametrize("kind", [sa.String, sa.LargeBinary])
def test_a_relationship_over_encrypted_values(engine: sa.Engine, load: Any, kind: Any) -> None:
    """
    However it is loaded, and no plaintext is sent.
    """

    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[Any] = EncryptedColumn(kind, keys=RING, search=Equality(domain="email"))
        invitations = relationship(
            "Invitation",
            primaryjoin="Person.email == foreign(Invitation.email)",
            viewonly=True,
            uselist=True,
        )

    class Invitation(Base):
        __tablename__ = "invitation"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[Any] = EncryptedColumn(kind, keys=RING, search=Equality(domain="email"))

    Base.metadata.create_all(engine)
    emails: list[Any] = ["plain-a", "plain-b"] if kind is sa.String else [b"plain-a", b"plain-b"]
    sent: list[str] = []
    with Session(engine) as session:
        session.add_all([Person(id=n, email=email) for n, email in enumerate(emails)])
        session.add_all([Invitation(id=n, email=email) for n, email in enumerate(emails)])
        session.commit()
        sa.event.listen(
            engine, "before_cursor_execute", lambda *given: sent.append(str(given[2:4]))
        )
        people = sa.select(Person).order_by(Person.id)
        if load != "lazy":
            people = people.options(load(Person.invitations))
        found = session.scalars(people).unique().all()
        assert [[each.id for each in person.invitations] for person in found] == [[0], [1]]
    assert sent
    assert "plain-" not in "".join(sent)


def test_a_conflict_over_a_blind_index(connection: sa.Connection) -> None:
    """
    An upsert finds the row that holds the value.
    """
    person = sa.Table(
        "person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String),
        sa.Column("email", Encrypted(sa.String, RING, unique=True)),
    )
    person.metadata.create_all(connection)
    for number, name in enumerate(["Ann", "Anne"]):
        statement = insert(person).values(id=number, name=name, email="ann@example.com")
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[blind_index(person.c.email)],
                set_={"name": statement.excluded.name},
            )
        )
    rows = connection.execute(sa.select(person.c.id, person.c.name, person.c.email)).all()
    assert rows == [(0, "Anne", "ann@example.com")]
