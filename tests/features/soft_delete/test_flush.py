"""
What ``session.delete`` and letting go of an orphan do, and what the session is like then.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError

from pgultra.features.soft_delete import SoftDelete, only_deleted, with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from tests.fixtures.database import Database

Author, Blog, Post, Comment = BLOG.Author, BLOG.Blog, BLOG.Post, BLOG.Comment
Translation, Tag, Picture = BLOG.Translation, BLOG.Tag, BLOG.Picture


@pytest.fixture
def blog_of_two(session: Session) -> Any:
    """
    A blog of two posts; the first has two comments, a reply, a translation and a tag.
    """
    reply = Comment(id=3, text="reply")
    comments = [Comment(id=1, text="one", replies=[reply]), Comment(id=2, text="two")]
    first = Post(
        id=1,
        slug="first",
        comments=comments,
        translations=[Translation(language="de", text="erster")],
        tags=[Tag(id=1, name="sql")],
    )
    second = Post(id=2, slug="second", comments=[Comment(id=4, text="elsewhere")])
    blog = Blog(id=1, name="blog", posts=[first, second])
    session.add(blog)
    session.commit()
    return blog


def dead(session: Session, cls: Any) -> dict[Any, uuid.UUID]:
    """
    Say which rows of a class are deleted, and in which deletion.
    """
    table = cls.__table__
    names = {"blog": "deletionId"}.get(table.name, "deletion_id")
    key = list(table.primary_key)[-1]
    rows = session.connection().execute(
        select(key, table.c[names]).where(table.c[names].is_not(None))
    )
    return {row[0]: row[1] for row in rows}


@pytest.mark.usefixtures("blog_of_two")
def test_delete_cascades_as_one_deletion(session: Session) -> None:
    """
    An object goes with all that cascades from it, loaded or not, under one deletion id.
    """
    first = session.get(Post, 1)
    session.delete(first)
    session.commit()
    ids = set(dead(session, Post).values())
    assert len(ids) == 1
    assert dead(session, Comment) == dict.fromkeys((1, 2, 3), ids.pop())
    assert set(dead(session, Translation)) == {"de"}
    assert dead(session, Tag) == dead(session, Blog) == {}


@pytest.mark.usefixtures("blog_of_two")
def test_a_deleted_object_is_gone_after_flush(session: Session) -> None:
    """
    After flush the object, and what went with it, is as SQLAlchemy's deleted objects are.
    """
    first = session.get(Post, 1)
    comment, reply, translation = (
        session.get(Comment, 1),
        session.get(Comment, 3),
        session.get(Translation, (1, "de")),
    )
    session.delete(first)
    assert first in session
    assert first in session.deleted
    session.flush()
    for each in (first, comment, reply, translation):
        assert each not in session
        assert inspect(each).deleted
        assert each.is_deleted
        assert each.deletion_id == first.deletion_id
    assert list(session.deleted) == []
    assert session.get(Post, 1) is None
    assert session.get(Comment, 3) is None
    with pytest.raises(InvalidRequestError, match="has been deleted"):
        session.add(first)
    session.commit()
    assert inspect(first).detached
    assert inspect(reply).detached


@pytest.mark.usefixtures("blog_of_two")
def test_a_rollback_brings_it_back(session: Session) -> None:
    """
    After a rollback the objects are persistent again, and live.
    """
    first, comment = session.get(Post, 1), session.get(Comment, 1)
    session.delete(first)
    session.flush()
    session.rollback()
    assert first in session
    assert comment in session
    assert not first.is_deleted
    assert not comment.is_deleted
    assert session.get(Post, 1) is first


@pytest.mark.usefixtures("blog_of_two")
def test_a_savepoint_brings_it_back(session: Session) -> None:
    """
    Rolling back to a savepoint takes back what was deleted since, and no more.
    """
    first, second = session.get(Post, 1), session.get(Post, 2)
    session.delete(first)
    session.flush()
    savepoint = session.begin_nested()
    session.delete(second)
    session.flush()
    assert second not in session
    savepoint.rollback()
    assert second in session
    assert first not in session
    session.rollback()
    assert first in session


@pytest.mark.usefixtures("blog_of_two")
def test_events_of_the_session(session: Session) -> None:
    """
    Listeners to deleted objects hear of them, once each.
    """
    gone: list[Any] = []
    event.listen(session, "persistent_to_deleted", lambda _, each: gone.append(each))
    first, translation = session.get(Post, 1), session.get(Translation, (1, "de"))
    session.delete(first)
    session.commit()
    assert gone.count(first) == gone.count(translation) == 1
    assert {type(each) for each in gone} == {Post, Comment, Translation}


@pytest.mark.usefixtures("blog_of_two")
def test_who_deleted_it(session: Session) -> None:
    """
    deleted_by is what the object says, else the setting; the cascade copies it.
    """
    first, second = session.get(Post, 1), session.get(Post, 2)
    session.execute(text("SET LOCAL pgultra.actor = 'the setting'"))
    first.deleted_by = "ann"
    session.delete(first)
    session.delete(second)
    session.flush()
    by = dict(session.execute(text("SELECT id, deleted_by FROM comment ORDER BY id")).all())
    assert by == {1: "ann", 2: "ann", 3: "ann", 4: "the setting"}
    assert (first.deleted_by, second.deleted_by) == ("ann", "the setting")


@pytest.mark.usefixtures("blog_of_two")
def test_other_changes_are_kept(session: Session) -> None:
    """
    What was changed on the object before it was deleted is written too.
    """
    first, comment = session.get(Post, 1), session.get(Comment, 1)
    first.slug = "spam"
    comment.text = "spam"
    session.delete(first)
    session.commit()
    row = session.scalars(with_deleted(select(Post).where(Post.id == 1))).one()
    assert row.slug == "spam"
    assert session.scalars(with_deleted(select(Comment.text).where(Comment.id == 1))).one() == (
        "spam"
    )


@pytest.mark.usefixtures("blog_of_two")
def test_two_deletions_in_one_flush(session: Session) -> None:
    """
    Objects that are deleted side by side are deletions of their own.
    """
    session.delete(session.get(Post, 1))
    session.delete(session.get(Post, 2))
    session.commit()
    found = dead(session, Post)
    assert found[1] != found[2]
    assert dead(session, Comment) == {1: found[1], 2: found[1], 3: found[1], 4: found[2]}


@pytest.mark.usefixtures("blog_of_two")
def test_parents_go_first(session: Session) -> None:
    """
    A child that is deleted besides its parent belongs to the parent's deletion, in any order.
    """
    with session.no_autoflush:
        comment, reply = session.get(Comment, 1), session.get(Comment, 3)
        session.delete(reply)
        session.delete(comment)
        session.delete(session.get(Post, 1))
    session.commit()
    (deletion,) = set(dead(session, Post).values())
    assert dead(session, Comment) == dict.fromkeys((1, 2, 3), deletion)


@pytest.mark.usefixtures("blog_of_two")
def test_what_is_deleted_first_stays_apart(session: Session) -> None:
    """
    A child that was deleted before keeps its own deletion.
    """
    session.delete(session.get(Comment, 2))
    session.commit()
    session.delete(session.get(Post, 1))
    session.commit()
    found = dead(session, Comment)
    assert found[1] == found[3] != found[2]


@pytest.mark.usefixtures("blog_of_two")
def test_new_children_go_along(session: Session) -> None:
    """
    A child that is written in the same flush goes with its parent, and leaves the session.
    """
    first = session.get(Post, 1)
    late = Comment(id=9, text="late", post_id=1)
    session.add(late)
    with session.no_autoflush:
        session.delete(first)
    session.flush()
    assert late not in session
    assert late.is_deleted


@pytest.mark.usefixtures("blog_of_two")
def test_somebody_else_was_first(session: Session, blog: Database) -> None:
    """
    Deleting a row that is deleted already changes nothing, and is no error.
    """
    first = session.get(Post, 1)
    session.commit()
    with Session(blog.engine()) as other:
        other.delete(other.get(Post, 1))
        other.commit()
        before = dead(other, Post)
    session.delete(first)
    session.commit()
    assert dead(session, Post) == before


@pytest.mark.usefixtures("blog_of_two")
def test_a_detached_object(session: Session, blog: Database) -> None:
    """
    A detached object can be deleted through another session.
    """
    first = session.get(Post, 1)
    session.close()
    with Session(blog.engine()) as other:
        other.delete(first)
        other.commit()
        assert set(dead(other, Post)) == {1}


def test_orphans(session: Session, blog_of_two: Any) -> None:
    """
    An object that delete-orphan would remove is marked, with all below it.
    """
    first = blog_of_two.posts[0]
    blog_of_two.posts.remove(first)
    session.commit()
    (deletion,) = set(dead(session, Post).values())
    assert set(dead(session, Comment)) == {1, 2, 3}
    assert set(dead(session, Comment).values()) == {deletion}
    assert first not in session
    key = session.execute(text("SELECT blog_id FROM post WHERE id = 1")).scalar()
    assert key == 1  # so that it comes back where it was


def test_orphans_without_a_backref(database: Database) -> None:
    """
    The parent alone may know that a child was let go.
    """

    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship(cascade="all, delete-orphan")

    class Item(SoftDelete, Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int | None] = mapped_column(sa.ForeignKey("box.id"))

    Base.registry.configure()
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Box(id=1, items=[Item(id=1), Item(id=2)]))
        session.commit()
        box = session.get(Box, 1)
        gone = box.items.pop(0)
        session.commit()
        assert gone not in session
        assert set(dead(session, Item)) == {1}


def test_moving_is_not_deleting(session: Session, blog_of_two: Any) -> None:
    """
    A child that moves to another parent is no orphan.
    """
    first, second = blog_of_two.posts
    comment = first.comments[1]
    with session.no_autoflush:
        first.comments.remove(comment)
        second.comments.append(comment)
    session.commit()
    assert dead(session, Comment) == {}
    assert comment.post is second


def test_new_orphans(session: Session, blog_of_two: Any) -> None:
    """
    An object that was never written is let go as ever.
    """
    comment = Comment(id=9, text="never")
    blog_of_two.posts[0].comments.append(comment)
    blog_of_two.posts[0].comments.remove(comment)
    session.delete(blog_of_two.posts[1])
    session.commit()
    assert set(dead(session, Post)) == {2}
    assert session.scalar(select(sa.func.count(Comment.id))) == 3


def test_many_to_many_rows_stay(session: Session, blog_of_two: Any) -> None:
    """
    The rows of a secondary table are kept, so that tags are back after a restore.
    """
    session.delete(blog_of_two.posts[0])
    session.commit()
    assert session.execute(text("SELECT count(*) FROM post_tag")).scalar() == 1


def test_keys_of_other_children_stay(session: Session, blog_of_two: Any) -> None:
    """
    Children without a cascade keep their key to the deleted row.
    """
    post = blog_of_two.posts[0]
    author = Author(id=1, name="ann", posts=[post])
    session.add(author)
    session.commit()
    session.delete(post)
    session.commit()
    assert session.execute(text("SELECT author_id FROM post WHERE id = 1")).scalar() == 1
    session.refresh(author)
    assert author.posts == []


def test_inherited_classes(session: Session) -> None:
    """
    An object of a joined subclass is marked in the table at the root.
    """
    picture = Picture(id=1, title="sun", width=10)
    session.add(picture)
    session.commit()
    session.delete(picture)
    session.commit()
    assert set(dead(session, BLOG.Asset)) == {1}
    assert session.execute(text("SELECT count(*) FROM picture")).scalar() == 1
    assert session.scalars(only_deleted(select(Picture))).one().width == 10


def test_objects_that_are_not_soft_deletable(session: Session) -> None:
    """
    What has no SoftDelete is deleted as ever, in the same flush.
    """
    session.add_all([Author(id=1, name="ann"), Tag(id=1, name="sql")])
    session.commit()
    session.delete(session.get(Author, 1))
    session.delete(session.get(Tag, 1))
    session.commit()
    assert session.execute(text("SELECT count(*) FROM author")).scalar() == 0
    assert set(dead(session, Tag)) == {1}


@pytest.mark.usefixtures("blog_of_two")
@pytest.mark.parametrize("alone", [True, False])
def test_an_error_ends_the_transaction(session: Session, alone: bool) -> None:
    """
    When the database refuses, the session is as after any flush that failed.
    """
    first = session.get(Post, 1)
    session.execute(
        text(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not today'; END $$"
        )
    )
    session.execute(
        text("CREATE TRIGGER refuse BEFORE UPDATE ON comment EXECUTE FUNCTION refuse()")
    )
    session.commit()
    session.delete(first)
    if not alone:
        session.add(Tag(id=7, name="new"))
    with pytest.raises(DBAPIError, match="not today"):
        session.flush()
    with pytest.raises(InvalidRequestError, match="rolled back"):
        session.execute(select(Post))
    session.rollback()
    assert first in session
    assert not first.is_deleted


def test_flush_of_some_objects(session: Session, blog_of_two: Any) -> None:
    """
    A flush of some objects deletes these and leaves the others marked.
    """
    first, second = blog_of_two.posts
    with session.no_autoflush:
        session.delete(first)
        session.delete(second)
        with pytest.warns() if _flush_is_deprecated() else nullcontext():
            session.flush([first])
        assert first not in session
        assert second in session.deleted
    session.commit()
    assert set(dead(session, Post)) == {1, 2}


def _flush_is_deprecated() -> bool:
    return tuple(map(int, sa.__version__.split(".")[:2])) >= (2, 1)


@pytest.fixture
def versioned(database: Database) -> Iterator[tuple[Any, Session, Session]]:
    """
    A class that counts versions, and two sessions.
    """

    class Base(DeclarativeBase):
        pass

    class Page(SoftDelete, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        version: Mapped[int] = mapped_column()
        parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("page.id"))
        pages: Mapped[list[Page]] = relationship(cascade="all")
        __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # as SQLAlchemy has it

    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as one, Session(engine) as other:
        one.add_all(
            [Page(id=1, title="a"), Page(id=2, title="b"), Page(id=3, title="c", parent_id=1)]
        )
        one.commit()
        yield Page, one, other


def test_versions_count_on(versioned: tuple[Any, Session, Session]) -> None:
    """
    A deletion is a change: the version goes up.
    """
    page, session, _ = versioned
    session.delete(session.get(page, 1))
    session.commit()
    rows = session.execute(text("SELECT id, version FROM page ORDER BY id")).all()
    assert rows == [(1, 2), (2, 1), (3, 1)]


@pytest.mark.parametrize("several", [True, False])
def test_a_stale_version(versioned: tuple[Any, Session, Session], several: bool) -> None:
    """
    An object that somebody else changed since it was loaded is not deleted.
    """
    page, session, other = versioned
    found = session.get(page, 2)
    if several:
        with session.no_autoflush:
            session.delete(session.get(page, 1))
    assert found.title == "b"
    other.get(page, 2).title = "changed"
    other.commit()
    session.delete(found)
    with pytest.raises(StaleDataError, match="Page"):
        session.commit()
    session.rollback()
    assert dead(session, page) == {}


def test_a_version_and_a_cascade(versioned: tuple[Any, Session, Session]) -> None:
    """
    A child that goes with its parent needs no version of its own.
    """
    page, session, _ = versioned
    session.delete(session.get(page, 3))
    session.delete(session.get(page, 1))
    session.commit()
    assert set(dead(session, page)) == {1, 3}


@pytest.fixture
def circle(database: Database) -> Any:
    """
    Rows that stand in a circle, each below the next.
    """

    class Base(DeclarativeBase):
        pass

    class Ring(SoftDelete, Base):
        __tablename__ = "ring"
        id: Mapped[int] = mapped_column(primary_key=True)
        next_id: Mapped[int | None] = mapped_column(sa.ForeignKey("ring.id"))
        before: Mapped[list[Ring]] = relationship(cascade="all", passive_deletes=True)

    engine = database.engine()
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO ring (id, next_id) VALUES (1, 2), (2, 3), (3, 1), (4, 4)")
        )
    return Ring, engine


def test_circles(circle: Any) -> None:
    """
    Rows in a circle, even a row below itself, are deleted once, together.
    """
    ring, engine = circle
    with Session(engine) as session:
        for each in session.scalars(select(ring)).all():
            session.delete(each)
        session.commit()
        found = dead(session, ring)
    assert set(found) == {1, 2, 3, 4}
    assert found[1] == found[2] == found[3] != found[4]


def test_a_hard_parent(database: Database) -> None:
    """
    A parent that is really deleted cannot leave marked children behind: the key refuses.
    """

    class Base(DeclarativeBase):
        pass

    class Shelf(Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        books: Mapped[list[Book]] = relationship(cascade="all")

    class Book(SoftDelete, Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelf.id"))

    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Shelf(id=1, books=[Book(id=1)]))
        session.commit()
        shelf = session.get(Shelf, 1)
        session.delete(shelf)
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        assert dead(session, Book) == {}
        assert [each.id for each in shelf.books] == [1]


@pytest.mark.usefixtures("blog_of_two")
async def test_async_sessions(blog: Database) -> None:
    """
    An async session deletes in the same way.
    """
    async with AsyncSession(blog.async_engine()) as session:
        first = await session.get(Post, 1)
        await session.delete(first)
        await session.flush()
        assert first not in session
        assert first.is_deleted  # known without another query
        assert await session.get(Post, 1) is None
        await session.commit()
        assert await session.scalar(select(sa.func.count(Comment.id))) == 1


@pytest.mark.slow
def test_a_long_list(session: Session) -> None:
    """
    Many objects at once are more than one statement's worth, and all go.
    """
    session.add_all(Tag(id=number, name=str(number)) for number in range(2500))
    session.commit()
    for tag in session.scalars(select(Tag)).all():
        session.delete(tag)
    session.commit()
    assert len(dead(session, Tag)) == 2500
