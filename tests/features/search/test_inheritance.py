"""
Classes that share a table: a search for one of them finds no rows of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from pgultra.features import search
from pgultra.features.search import SearchVector, Source, TSVector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class Person(Base):
    """
    Everybody.
    """

    __tablename__ = "person"
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"name": "A"})


class Manager(Person):
    """
    One of few.
    """

    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "manager"}


class Head(Manager):
    """
    A manager too.
    """

    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "head"}


MANAGERS = {2001, 2002, 2003, 2004, 2005}


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """
    More others than are candidates, stored before all managers.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all([Person(id=number, name="fox") for number in range(1200)])
        session.flush()
        session.add_all([Manager(id=number, name="fox") for number in range(2001, 2004)])
        session.add_all([Head(id=number, name="fox") for number in range(2004, 2006)])
        session.flush()
        yield session


@pytest.mark.parametrize("entity", [Manager, aliased(Manager), aliased(Manager, flat=True)])
def test_rows_of_a_class_alone(session: Session, entity: Any) -> None:
    """
    Each way to search ranks the rows of the class, and of those below it.
    """
    best = session.scalars(search.top(select(entity), entity.search, "fox"))
    assert {each.id for each in best} == MANAGERS
    fused = session.scalars(search.hybrid(entity, text="fox", filters=[entity.name == "fox"]))
    assert {each.id for each in fused} == MANAGERS
    listed = session.execute(search.federated([Source(entity)], "fox"))
    assert {int(row.key) for row in listed} == MANAGERS


def test_two_classes_of_a_table_in_one_list(session: Session) -> None:
    """
    Sources of one table are told apart by their class; the class above all has all rows.
    """
    sources = [Source(Head, name="head"), Source(Person, name="any", limit=3)]
    rows = session.execute(search.federated(sources, "fox")).all()
    assert [(row.source, row.key) for row in rows] == [
        ("head", "2004"),
        ("head", "2005"),
        ("any", "0"),
        ("any", "1"),
        ("any", "2"),
    ]
    assert session.scalars(search.hybrid(Person, text="fox", limit=1)).one().id == 0
