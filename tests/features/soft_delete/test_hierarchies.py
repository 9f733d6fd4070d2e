"""
Cascades that begin at subclasses, and what backrefs bring: checked, followed, removed for good.
"""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Mapper,
    Session,
    backref,
    configure_mappers,
    mapped_column,
    registry,
    relationship,
)

from pgultra.errors import DeclarationError
from pgultra.features.soft_delete import (
    SoftDelete,
    SoftDeleteOptions,
    hard_delete,
    only_deleted,
    purge,
    restore,
)
from pgultra.features.soft_delete.edges import edges_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = {"schema": "Staff"}


def staff(
    *,
    joined: bool = True,
    options: SoftDeleteOptions | None = None,
    task_first: bool = False,
    cascade: str = "all",
) -> SimpleNamespace:
    """
    Persons and employees, whose tasks go with them.
    """

    class Base(DeclarativeBase):
        pass

    def make_task() -> Any:
        class Task(SoftDelete, Base):
            __tablename__ = "Task"
            __table_args__ = PLACE

            id: Mapped[int] = mapped_column(primary_key=True)
            employee_id: Mapped[int | None] = mapped_column(
                ForeignKey("Staff.Employee.id" if joined else "Staff.Person.id")
            )

        return Task

    task = make_task() if task_first else None

    class Person(SoftDelete, Base):
        __tablename__ = "Person"
        __table_args__ = PLACE
        __soft_delete__ = options or SoftDeleteOptions()
        __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "p"}

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str] = mapped_column(default="")

    body: dict[str, Any] = {
        "__mapper_args__": {"polymorphic_identity": "e"},
        "tasks": relationship("Task", cascade=cascade, back_populates=None),
    }
    if joined:
        body |= {
            "__tablename__": "Employee",
            "__table_args__": PLACE,
            "id": mapped_column(ForeignKey("Staff.Person.id"), primary_key=True),
            "salary": mapped_column("Salary", sa.Integer, default=0),
            "room_id": mapped_column(sa.Integer, ForeignKey("Staff.room.id")),
            "room": relationship("Room"),
        }

    class Room(Base):
        __tablename__ = "room"
        __table_args__ = PLACE

        id: Mapped[int] = mapped_column(primary_key=True)

    employee = type("Employee", (Person,), body)
    return SimpleNamespace(
        Base=Base, Person=Person, Employee=employee, Task=task or make_task(), Room=Room
    )


def create(engine: sa.Engine, models: SimpleNamespace) -> None:
    """
    Make the tables, in their schema.
    """
    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "Staff"'))
        models.Base.metadata.create_all(connection)


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("task_first", [True, False])
@pytest.mark.parametrize(
    "options", [None, SoftDeleteOptions(cascade=("tasks",)), SoftDeleteOptions(cascade=())]
)
def test_a_relationship_of_a_subclass(joined: bool, task_first: bool, options: Any) -> None:
    """
    A subclass may cascade, in whatever order the classes come; the root's option holds for it.
    """
    models = staff(joined=joined, task_first=task_first, options=options)
    configure_mappers()
    edges = edges_of(models.Base.metadata)
    tasks = sa.inspect(models.Employee).relationships["tasks"]
    if options is not None and not options.cascade:
        assert edges == ()
        assert not tasks.cascade.delete
    else:
        (edge,) = edges
        assert (edge.parent.name, edge.child.name) == ("Person", "Task")
        assert tasks.cascade.delete


@pytest.mark.parametrize("subclass", [True, False])
@pytest.mark.parametrize("parent_first", [True, False])
@pytest.mark.parametrize(("cascade", "count"), [("orm", 1), (("kids",), 1), ((), 0)])
def test_a_backref(subclass: bool, parent_first: bool, cascade: Any, count: int) -> None:
    """
    The option may name, or leave out, what a class that comes later calls a backref.
    """

    class Base(DeclarativeBase):
        pass

    def make_parent() -> None:
        class Parent(SoftDelete, Base):
            __tablename__ = "parent"
            __soft_delete__ = SoftDeleteOptions(cascade=cascade)
            __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "p"}

            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]

        class Special(Parent):
            __mapper_args__: ClassVar = {"polymorphic_identity": "s"}

    def make_child() -> None:
        class Child(SoftDelete, Base):
            __tablename__ = "child"

            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
            parent: Mapped[Any] = relationship(
                "Special" if subclass else "Parent", backref=backref("kids", cascade="all")
            )

    for make in (make_parent, make_child) if parent_first else (make_child, make_parent):
        make()
    Base.registry.configure()
    assert len(edges_of(Base.metadata)) == count


def test_a_subclass_that_cannot(request: pytest.FixtureRequest) -> None:
    """
    A cascade of a subclass that the database cannot follow is refused, now and later.
    """

    class Base(DeclarativeBase):
        registry = registry()

    request.addfinalizer(Base.registry.dispose)

    class Parent(SoftDelete, Base):
        __tablename__ = "parent"
        __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "p"}

        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    class Special(Parent):
        __mapper_args__: ClassVar = {"polymorphic_identity": "s"}

        plain: Mapped[list[Plain]] = relationship(cascade="all")

    class Plain(Base):
        __tablename__ = "plain"

        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    with pytest.raises(DeclarationError, match=r"class Special .* 'plain' cascades"):
        Base.registry.configure()
    with pytest.raises(InvalidRequestError, match="Parent"):
        Base.registry.configure()


def test_the_names_behind() -> None:
    """
    Mappers and registries say what is to come, failed or was disposed of under these names.
    """
    base = staff().Base
    configure_mappers()
    assert base.registry._new_mappers is False
    assert callable(base.registry._flag_new_mapper)
    mapper = next(iter(base.registry.mappers))
    assert (mapper.configured, Mapper._dispose_called) == (True, False)
    base.registry.dispose()
    assert mapper._dispose_called is True


def test_an_employee_goes_and_comes(engine: sa.Engine) -> None:
    """
    What was changed in the table of a subclass, or moved to a new object, is written too.
    """
    models = staff()
    create(engine, models)
    with Session(engine) as session:
        session.add(models.Employee(id=1, tasks=[models.Task(id=1), models.Task(id=2)]))
        session.add(models.Employee(id=2, tasks=[models.Task(id=3)]))
        session.commit()
        one, two = session.get(models.Employee, 1), session.get(models.Employee, 2)
        one.salary, one.name, one.room = 5, "one", models.Room(id=7)
        two.salary = 6
        session.delete(one)
        session.delete(two)
        session.commit()
        rows = session.execute(
            text(
                'SELECT "Salary", room_id, name FROM "Staff"."Employee" NATURAL JOIN "Staff"."Person"'
            )
        ).all()
        assert sorted(rows, key=str) == [(5, 7, "one"), (6, None, "")]
        (first, _) = session.scalars(
            only_deleted(select(models.Person)).order_by(models.Person.id)
        ).all()
        assert [each.id for each in restore(session, first)] == [1, 1, 2]
        assert (first.salary, first.room_id) == (5, 7)


def test_moved_to_another_parent(engine: sa.Engine) -> None:
    """
    An object that was given another parent and deleted at once has the other's key.
    """

    class Base(DeclarativeBase):
        pass

    class Shelf(SoftDelete, Base):
        __tablename__ = "shelf"

        id: Mapped[int] = mapped_column(primary_key=True)
        books: Mapped[list[Book]] = relationship(cascade="all", back_populates="shelf")

    class Book(SoftDelete, Base):
        __tablename__ = "book"

        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))
        shelf: Mapped[Shelf | None] = relationship(back_populates="books")

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        books = [Book(id=number, title="old") for number in (1, 2)]
        session.add_all([Shelf(id=1, books=books), Shelf(id=2)])
        session.commit()
        one, two = books
        one.shelf, one.title = session.get_one(Shelf, 2), "new"
        two.shelf = Shelf(id=3)
        session.delete(one)
        session.delete(two)
        session.commit()
        rows = session.execute(text("SELECT id, title, shelf_id FROM book ORDER BY id")).all()
        assert rows == [(1, "new", 2), (2, "old", 3)]


@pytest.fixture
def purged(engine: sa.Engine) -> Iterator[tuple[Session, SimpleNamespace]]:
    """
    A deleted employee with a task, whose row refers to the table of the subclass.
    """
    models = staff()
    create(engine, models)
    with Session(engine) as session:
        session.add(models.Employee(id=1, tasks=[models.Task(id=1)]))
        session.add(models.Person(id=2))
        session.commit()
        yield session, models


def test_purge_below_a_subclass(engine: sa.Engine, purged: Any) -> None:
    """
    Purging removes rows that refer to the table of a subclass before that table's own.
    """
    session, models = purged
    session.delete(session.get(models.Employee, 1))
    session.commit()
    with engine.connect() as connection:
        assert purge(connection, models.Person, older_than=timedelta(0)).removed == 2
        assert connection.scalar(text('SELECT count(*) FROM "Staff"."Employee"')) == 0


def test_hard_delete_below_a_subclass(purged: Any) -> None:
    """
    And so does hard_delete.
    """
    session, models = purged
    assert hard_delete(session, session.get(models.Employee, 1)) == 2
    session.commit()
    assert session.scalars(select(models.Person.id)).all() == [2]


@pytest.mark.parametrize("soft", [True, False])
def test_a_many_to_many_table_known_from_the_other_side(engine: sa.Engine, soft: bool) -> None:
    """
    The rows of a many-to-many table go with either side, whichever class has the relationship.
    """

    class Base(DeclarativeBase):
        pass

    link = sa.Table(
        "link",
        Base.metadata,
        sa.Column("a_id", ForeignKey("a.id"), primary_key=True),
        sa.Column("t_id", ForeignKey("t.id"), primary_key=True),
    )

    class A(SoftDelete, Base):
        __tablename__ = "a"

        id: Mapped[int] = mapped_column(primary_key=True)

    class T(*((SoftDelete,) if soft else ()), Base):  # type: ignore[misc]  # chosen at run time
        __tablename__ = "t"

        id: Mapped[int] = mapped_column(primary_key=True)
        those: Mapped[list[A]] = relationship(A, secondary=link)

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(T(id=1, those=[A(id=1), A(id=2)]))
        session.commit()
        session.delete(session.get(A, 1))
        session.commit()
        with engine.connect() as connection:
            assert purge(connection, A, older_than=timedelta(0)).removed == 1
        assert session.execute(select(link)).all() == [(2, 1)]
