"""
Deletions that are said after the room has looked: by listeners of the application.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import ForeignKey, event, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    UOWTransaction,
    mapped_column,
    relationship,
)

from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions, restore, with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from tests.fixtures.database import Database

Post, Comment = BLOG.Post, BLOG.Comment


def test_what_is_overridden() -> None:
    """
    The unit of work asks for the methods that we override, and holds no slots.
    """
    assert list(inspect.signature(UOWTransaction.register_object).parameters) == [
        "self",
        "state",
        "isdelete",
        "listonly",
        "cancel_delete",
        "operation",
        "prop",
    ]
    assert isinstance(UOWTransaction.has_work, property)
    assert "return bool(self.states)" in inspect.getsource(UOWTransaction.has_work.fget)
    with Session() as session:
        assert session._contains_state(sa.inspect(Post(id=1))) is False
        assert vars(UOWTransaction(session))["states"] == {}


@pytest.mark.parametrize("guard", ["raise", "allow"])
def test_deleted_before_the_flush(engine: sa.Engine, guard: Any) -> None:
    """
    What a listener of the application deletes before the flush is marked, children too.
    """

    class Base(DeclarativeBase):
        pass

    class Parent(SoftDelete, Base):
        __tablename__ = "Parent"
        __table_args__ = {"schema": "Late"}  # noqa: RUF012
        __soft_delete__ = SoftDeleteOptions(guard=guard)

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column("Name", default="parent")
        children: Mapped[list[Child]] = relationship(
            cascade="all, delete-orphan", back_populates="parent"
        )

    class Child(SoftDelete, Base):
        __tablename__ = "child"
        __table_args__ = {"schema": "Late"}  # noqa: RUF012
        __soft_delete__ = SoftDeleteOptions(guard=guard)

        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("Late.Parent.id"))
        parent: Mapped[Parent | None] = relationship(back_populates="children")

    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "Late"'))
        Base.metadata.create_all(connection)
    with Session(engine) as session:
        session.add(Parent(id=1, children=[Child(id=1), Child(id=2)]))
        session.commit()
        parent, loose = session.get_one(Parent, 1), session.get_one(Child, 2)

        @event.listens_for(session, "before_flush")
        def weed(session: Session, context: Any, instances: Any) -> None:
            for each in session.dirty:
                if isinstance(each, Parent) and each.name == "":
                    session.delete(each)
                if isinstance(each, Parent) and each.name == "loose":
                    each.children.remove(loose)  # the unit of work finds the orphan

        parent.name = "loose"
        session.flush()
        assert loose not in session
        assert loose.is_deleted
        parent.name = ""
        session.commit()
        assert parent not in session
        rows = select(Child.id, Child.deleted_at, Child.parent_id).order_by(Child.id)
        found = session.execute(with_deleted(rows)).all()
        assert [(each.id, each.parent_id) for each in found] == [(1, 1), (2, 1)]
        assert None not in [each.deleted_at for each in found]
        dead = session.scalars(with_deleted(select(Parent))).one()
        assert dead.name == ""
        assert [type(each) for each in restore(session, dead)] == [Parent, Child]


def test_a_listener_alone(session: Session) -> None:
    """
    A flush in which there is nothing else to write marks too, and tells the listeners after it.
    """
    post, other = Post(id=1, slug="first"), Post(id=2, slug="second")
    session.add_all([post, other])
    session.commit()
    seen: list[str] = []
    event.listen(session, "after_flush", lambda *_: seen.append("after_flush"))

    @event.listens_for(session, "before_flush")
    def weed(session: Session, context: Any, instances: Any) -> None:
        session.delete(other)

    session.delete(post)
    session.commit()
    assert seen == ["after_flush"]
    assert session.scalars(select(Post)).all() == []
    assert session.scalar(text("SELECT count(*) FROM post")) == 2


def test_a_failed_mark(session: Session) -> None:
    """
    If the database refuses the mark, the object is in the session again after the rollback.
    """
    post = Post(id=1, slug="first")
    session.add(post)
    session.commit()
    session.execute(
        text(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'no'; END$$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON post EXECUTE FUNCTION refuse()"
        )
    )
    session.commit()

    @event.listens_for(session, "before_flush")
    def weed(session: Session, context: Any, instances: Any) -> None:
        if post in session.dirty:
            session.delete(post)

    post.slug = "changed"
    with pytest.raises(sa.exc.DBAPIError, match="no"):
        session.commit()
    session.rollback()
    assert post in session
    assert (post.slug, post.is_deleted) == ("first", False)


async def test_async(blog: Database) -> None:
    """
    A listener on the session below an AsyncSession deletes softly too.
    """
    async with AsyncSession(blog.async_engine()) as session:
        session.add(Post(id=1, slug="first", comments=[Comment(id=1, text="")]))
        await session.commit()

        @event.listens_for(session.sync_session, "before_flush")
        def weed(session: Session, context: Any, instances: Any) -> None:
            for each in session.dirty:
                session.delete(each)

        comment = await session.get_one(Comment, 1)
        comment.text = "changed"
        await session.commit()
        assert await session.scalar(text("SELECT count(deleted_at) FROM comment")) == 1
