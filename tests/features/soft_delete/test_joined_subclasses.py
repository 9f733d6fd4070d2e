"""
Subclasses with tables of their own, in statements that do not have the root's table in FROM.

Their rows are live or deleted in the table of the root; nothing may be counted twice, and
no deleted row may be seen or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, exists, func, literal, select, update
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    with_polymorphic,
)

from pgultra import SoftDelete
from pgultra.features.soft_delete import with_deleted
from pgultra.features.soft_delete.criteria import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Base(DeclarativeBase):
    """
    Everything lives in a schema, and the names have capitals.
    """

    metadata = sa.MetaData(schema="Staff")


class Person(SoftDelete, Base):
    """
    The root: it says who is deleted.
    """

    __tablename__ = "Person"
    __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    id: Mapped[int] = mapped_column("Id", primary_key=True)
    kind: Mapped[str]
    name: Mapped[str | None]


class Employee(Person):
    """
    Its key has another name than the root's.
    """

    __tablename__ = "Employee"
    __mapper_args__: ClassVar = {"polymorphic_identity": "employee"}

    eid: Mapped[int] = mapped_column("Eid", sa.ForeignKey(Person.id), primary_key=True)
    salary: Mapped[int] = mapped_column(default=0)
    boss: Mapped[int | None]


class Manager(Employee):
    """
    One more level.
    """

    __tablename__ = "Manager"
    __mapper_args__: ClassVar = {"polymorphic_identity": "manager"}

    mid: Mapped[int] = mapped_column("Mid", sa.ForeignKey(Employee.eid), primary_key=True)
    bonus: Mapped[int] = mapped_column(default=0)


class Task(Base):
    """
    Somebody else's row, that refers to an employee.
    """

    __tablename__ = "Task"

    id: Mapped[int] = mapped_column(primary_key=True)
    employee_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Employee.eid))
    employee: Mapped[Employee | None] = relationship()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """
    Employees 1 and 2 and managers 4 and 5, of which 1 and 4 are deleted; a person; tasks.
    """
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Staff"))
        Base.metadata.create_all(connection)
    with Session(engine) as session:
        session.add_all([Employee(id=n, eid=n, salary=n * 10, boss=5) for n in (1, 2)])
        session.add_all([Manager(id=n, eid=n, mid=n, salary=n * 10, bonus=n) for n in (4, 5)])
        session.add(Person(id=3, name="neither"))
        session.flush()
        session.add_all([Task(id=n, employee_id=n) for n in (1, 2, 4, 5)])
        session.commit()
        session.execute(delete(Employee).where(Employee.salary.in_([10, 40])))
        session.commit()
        yield session


COUNTS: dict[str, tuple[Any, Any]] = {
    "a count": (lambda: select(func.count()).where(Employee.salary > 0), 2),
    "one further down": (lambda: select(func.count()).where(Manager.bonus > 0), 1),
    "a column of the class between": (lambda: select(func.count()).where(Manager.salary > 0), 2),
    "exists": (lambda: select(exists().where(Employee.salary == 10)), False),
    "exists, live": (lambda: select(exists().where(Employee.salary == 20)), True),
    "a root's column": (lambda: select(func.count()).where(Employee.name.is_(None)), 2),
    "an alias": (lambda: select(func.count()).where(aliased(Employee).salary > 0), 2),
    "a flat alias": (lambda: select(func.count()).where(aliased(Employee, flat=True).eid > 0), 2),
    "beside the root": (
        lambda: select(func.count(Person.id)).where(Person.id == Employee.boss),
        1,
    ),
    "beside an alias of it": (
        lambda: (lambda other: select(func.count(other.eid)).where(other.boss == Employee.eid))(
            aliased(Employee)
        ),
        1,
    ),
    "in a filter": (
        lambda: select(func.count().filter(Employee.salary > 0)).select_from(Employee),
        2,
    ),
    "second in an expression": (
        lambda: select(func.sum(Task.id + Employee.salary)).where(Task.employee_id == Employee.eid),
        2 + 20 + 5 + 50,
    ),
    "a scalar subquery": (
        lambda: select(
            select(func.count()).where(Employee.salary > 0).scalar_subquery() + literal(0)
        ),
        2,
    ),
    "a subquery in WHERE": (
        lambda: select(func.count(Task.id)).where(
            select(func.count()).where(Employee.eid == Task.employee_id).scalar_subquery() == 1
        ),
        2,
    ),
    "has": (lambda: select(func.count(Task.id)).where(Task.employee.has(salary=10)), 0),
    "a join": (lambda: select(func.count(Task.id)).join(Task.employee), 2),
    "an outer join": (lambda: select(func.count(Task.id)).outerjoin(Task.employee), 4),
}


@pytest.mark.parametrize("name", COUNTS)
def test_reading(session: Session, name: str) -> None:
    """
    Live rows only, each once; also when the statement comes from the cache.
    """
    make, wanted = COUNTS[name]
    for _ in range(2):
        assert session.scalar(make()) == wanted


def test_columns_of_a_polymorphic_whole(session: Session) -> None:
    """
    A subclass within with_polymorphic() has the root beside it; one criterion is enough.
    """
    everybody = with_polymorphic(Person, "*")
    found = select(everybody.id).where(everybody.Employee.salary > 0)
    assert sorted(session.scalars(found)) == [2, 5]


def test_the_whole_class_is_not_filtered_by_key() -> None:
    """
    With the root in FROM the criterion is the plain one.
    """
    statement = str(select(Employee.salary).options(LIVE))
    assert "IN (SELECT" not in statement
    assert statement.count("deleted_at IS NULL") == 1


@pytest.mark.parametrize("synchronize", ["auto", "fetch", "evaluate", False])
def test_updating(session: Session, synchronize: Any) -> None:
    """
    An UPDATE of the subclass's table reaches live rows, and objects learn of it.
    """
    held = session.get(Employee, 2)
    assert held is not None
    options = {"synchronize_session": synchronize}
    assert session.execute(update(Employee).values(salary=1), execution_options=options) is not None
    salaries = dict(session.execute(with_deleted(select(Employee.id, Employee.salary))).all())
    assert salaries == {1: 10, 2: 1, 4: 40, 5: 1}
    if synchronize:
        assert held.salary == 1


def test_how_many_are_updated(session: Session) -> None:
    """
    Neither a deleted row nor a row twice; with_deleted reaches all.
    """

    def count(statement: Any) -> int:
        result: Any = session.execute(statement, execution_options={"synchronize_session": False})
        return int(result.rowcount)

    assert count(update(Employee).values(salary=Employee.salary)) == 2
    assert count(update(Manager).values(bonus=1)) == 1
    assert count(update(Employee).where(Employee.salary == 10).values(salary=1)) == 0
    assert count(with_deleted(update(Employee).values(salary=Employee.salary))) == 4
    others = update(Task).where(Task.employee_id == Employee.eid)
    assert count(others.values(id=Task.id)) == 2
    nested = select(func.count()).where(Employee.salary == 10).scalar_subquery()
    assert count(update(Manager).where(nested == 1).values(bonus=7)) == 0
    assert count(delete(Task).where(exists().where(Employee.salary == 10))) == 0
    wrapped = update(Employee).values(salary=3).returning(Employee.eid)
    assert len(session.execute(select(Employee.eid).from_statement(wrapped)).all()) == 2
    assert count(delete(Manager).where(Manager.bonus == 1)) == 1
    assert session.scalars(select(Employee.id)).all() == [2]


def test_a_session_that_shows_the_bin(session: Session) -> None:
    """
    It updates deleted rows.
    """
    session.info["pgultra.deleted"] = "only"
    result: Any = session.execute(
        update(Employee).values(salary=0), execution_options={"synchronize_session": False}
    )
    assert result.rowcount == 2
