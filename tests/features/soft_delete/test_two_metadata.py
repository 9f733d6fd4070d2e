"""
A parent and its children in two MetaData: what is refused and found from the child's side too.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from pgultra.features.soft_delete import Finding, SoftDelete, SoftDeleteOptions, audit, hard_delete
from pgultra.features.soft_delete.edges import edges_of


@pytest.fixture
def models(engine: sa.Engine) -> SimpleNamespace:
    """
    A parent, a child in another MetaData, and a grandchild beside the parent, with rows.
    """

    class Base(DeclarativeBase):
        metadata = sa.MetaData(schema="Main")

    elsewhere = sa.MetaData(schema="Else")

    class Child(SoftDelete, Base):
        __tablename__ = "Child"
        __soft_delete__ = SoftDeleteOptions(refuse_orphans=True)
        metadata = elsewhere

        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None]
        grandchildren: Mapped[list[Grandchild]] = relationship(
            cascade="all", primaryjoin="Child.id == foreign(Grandchild.child_id)"
        )

    class Parent(SoftDelete, Base):
        __tablename__ = "parent"

        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship(
            cascade="all", primaryjoin="Parent.id == foreign(Child.parent_id)"
        )

    class Grandchild(SoftDelete, Base):
        __tablename__ = "grandchild"

        id: Mapped[int] = mapped_column(primary_key=True)
        child_id: Mapped[int | None]

    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "Else"; CREATE SCHEMA "Main"'))
        elsewhere.create_all(connection)
        Base.metadata.create_all(connection)
    with Session(engine) as session:
        session.add(Parent(id=1, children=[Child(id=1, grandchildren=[Grandchild(id=1)])]))
        session.add(Parent(id=2))
        session.commit()
    return SimpleNamespace(Base=Base, elsewhere=elsewhere, Parent=Parent, Child=Child)


def test_one_graph(models: SimpleNamespace) -> None:
    """
    All cascades are known from each side.
    """
    edges = set(edges_of(models.Base.metadata))
    assert {(each.parent.name, each.child.name) for each in edges} == {
        ("parent", "Child"),
        ("Child", "grandchild"),
    }
    assert set(edges_of(models.elsewhere)) == edges


def test_orphans_are_refused(engine: sa.Engine, models: SimpleNamespace) -> None:
    """
    A live child below a dead parent is refused, and so is a child's restore below one.
    """
    with engine.begin() as connection:
        connection.execute(text('UPDATE "Main".parent SET deleted_at = now() WHERE id = 1'))
        assert connection.scalar(text('SELECT count(deleted_at) FROM "Main".grandchild')) == 1
    for statement in (
        'UPDATE "Else"."Child" SET deleted_at = NULL',
        'INSERT INTO "Else"."Child" VALUES (2, 1)',
    ):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text(statement))
    with engine.begin() as connection:
        connection.execute(text('UPDATE "Main".parent SET deleted_at = NULL WHERE id = 1'))
        assert connection.scalar(text('SELECT count(deleted_at) FROM "Main".grandchild')) == 0


def test_audit(engine: sa.Engine, models: SimpleNamespace) -> None:
    """
    A live row below a dead one is found when the child's MetaData is looked at.
    """
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text('UPDATE "Main".parent SET deleted_at = now(), deletion_id = gen_random_uuid()')
        )
    with engine.connect() as connection:
        for target in (models.elsewhere, models.Child):
            assert audit(connection, target) == [
                Finding("Else.Child", (1,), "live below a deleted row of Main.parent")
            ]
        assert audit(connection, models.Base) == []


def test_hard_delete(engine: sa.Engine, models: SimpleNamespace) -> None:
    """
    Removing a row for good removes those below it in both.
    """
    with Session(engine) as session:
        assert hard_delete(session, session.get(models.Parent, 1)) == 3
        session.commit()
        assert session.get(models.Child, 1) is None
