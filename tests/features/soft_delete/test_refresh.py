"""
What comes along when an object is refreshed, or loads what has expired.

The object itself is found whatever its row says; what it is loaded with is filtered as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    joinedload,
    mapped_column,
    relationship,
)

from pgultra import SoftDelete
from pgultra.features.soft_delete import with_deleted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database


class Base(DeclarativeBase):
    """
    Shelves of books, in a schema.
    """

    metadata = sa.MetaData(schema="Library")


class Book(SoftDelete, Base):
    """
    It may be volume of another one.
    """

    __tablename__ = "Book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="x")
    shelf_id: Mapped[int | None] = mapped_column(sa.ForeignKey("Library.Shelf.id"))
    whole_id: Mapped[int | None] = mapped_column(sa.ForeignKey("Library.Book.id"))
    shelf: Mapped[Shelf | None] = relationship(back_populates="books", lazy="joined")
    volumes: Mapped[list[Book]] = relationship(lazy="joined", join_depth=1, order_by="Book.id")


class Shelf(SoftDelete, Base):
    """
    It loads its books along and counts them, once at once and once on demand.
    """

    __tablename__ = "Shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="x")
    books: Mapped[list[Book]] = relationship(
        back_populates="shelf", lazy="joined", order_by="Book.id"
    )


def counted() -> Any:
    """
    How many books stand on a shelf.
    """
    count = select(func.count(Book.id)).where(Book.shelf_id == Shelf.id)
    return count.correlate_except(Book).scalar_subquery()


Shelf.count = column_property(counted())  # type: ignore[attr-defined]  # it needs both classes
Shelf.later = column_property(counted(), deferred=True)  # type: ignore[attr-defined]  # the same


@pytest.fixture
def engine(database: Database) -> sa.Engine:
    """
    Shelf 1 with the books 1 and 2, of which 1 is deleted, and 3, which is a volume of 2.
    """
    engine = database.engine()
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("Library"))
        Base.metadata.create_all(connection)
    with Session(engine) as session:
        session.add(Shelf(id=1))
        session.flush()
        session.add_all([Book(id=1, shelf_id=1), Book(id=2, shelf_id=1)])
        session.flush()
        session.add_all([Book(id=3, whole_id=2), Book(id=4, whole_id=2)])
        session.commit()
        for number in (1, 4):
            session.delete(session.get_one(Book, number))
        session.commit()
    return engine


WAYS: dict[str, Callable[[Session, Any], None]] = {
    "refresh": lambda session, shelf: session.refresh(shelf),
    "refresh of a relationship": lambda session, shelf: session.refresh(shelf, ["books"]),
    "refresh of a column": lambda session, shelf: session.refresh(shelf, ["count"]),
    "for update": lambda session, shelf: session.refresh(shelf, with_for_update={"of": Shelf}),
    "expire": lambda session, shelf: session.expire(shelf),
    "expire a relationship": lambda session, shelf: session.expire(shelf, ["books"]),
    "commit": lambda session, shelf: session.commit(),
}


@pytest.mark.parametrize("way", WAYS)
def test_deleted_rows_do_not_come_along(engine: sa.Engine, way: str) -> None:
    """
    Neither in collections nor in counts, however the object is loaded anew.
    """
    with Session(engine) as session:
        shelf: Any = session.get_one(Shelf, 1)
        for _ in range(2):
            WAYS[way](session, shelf)
            assert shelf.name == "x"
            assert [book.id for book in shelf.books] == [2]
            assert shelf.count == shelf.later == 1


def test_an_object_learns_that_it_is_deleted(engine: sa.Engine) -> None:
    """
    A refresh finds the row of a deleted object, and its live and deleted neighbours differ.
    """
    with Session(engine) as session, Session(engine) as other:
        whole: Any = session.get_one(Book, 2)
        assert [each.id for each in whole.volumes] == [3]
        other.delete(other.get_one(Book, 2))
        other.commit()
        session.refresh(whole)
        assert whole.is_deleted
        assert whole.shelf is session.get_one(Shelf, 1)
        assert [each.id for each in whole.volumes] == [3]


def test_a_deleted_parent_does_not_come_along(engine: sa.Engine) -> None:
    """
    A joined many-to-one is None after a refresh as it was before.
    """
    with Session(engine) as session, Session(engine) as other:
        book: Any = session.get_one(Book, 2)
        session.expunge(book.shelf)
        other.delete(other.get_one(Shelf, 1))
        other.commit()
        session.refresh(book)
        assert book.shelf is None
        session.refresh(book, ["shelf"])
        assert book.shelf is None


def test_who_asked_for_deleted_rows_gets_them(engine: sa.Engine) -> None:
    """
    Objects that were loaded with propagate=True, and sessions that include all, see them.
    """
    with Session(engine) as session:
        shelf: Any = session.scalars(with_deleted(select(Shelf), propagate=True)).unique().one()
        session.refresh(shelf)
        assert [book.id for book in shelf.books] == [1, 2]
        assert shelf.count == 2
    with Session(engine, info={"pgultra.deleted": "include"}) as session:
        shelf = session.get_one(Shelf, 1)
        session.refresh(shelf)
        assert [book.id for book in shelf.books] == [1, 2]
    with Session(engine, info={"pgultra.deleted": "only"}) as session:
        shelf = session.get(Shelf, 1, options=[joinedload(Shelf.books)])
        assert shelf is None


def test_the_statement_is_cached(engine: sa.Engine) -> None:
    """
    A refresh and a SELECT of the same object are two statements; each is compiled once.
    """
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: said.append(args[2]), named=False)
    with Session(engine) as session:
        shelf = session.get_one(Shelf, 1)
        for _ in range(3):
            session.refresh(shelf)
    refreshed = [each for each in said if "Shelf" in each][1:]
    assert len(set(refreshed)) == 1
    assert refreshed[0] != said[0]


async def test_async(engine: sa.Engine, database: Database) -> None:
    """
    An async session does the same.
    """
    async with AsyncSession(database.async_engine()) as session:
        shelf: Any = await session.get_one(Shelf, 1)
        await session.refresh(shelf)
        assert [book.id for book in shelf.books] == [2]
        assert shelf.count == 1
