"""
Taking a deletion back: exactly what it took, or nothing at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)

from pgultra import PgultraError, RestoreConflict
from pgultra.features.soft_delete import (
    SoftDelete,
    delete,
    hard_delete,
    only_deleted,
    restore,
    unique_live,
    with_deleted,
)
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from tests.fixtures.database import Database

Author, Blog, Post, Comment = BLOG.Author, BLOG.Blog, BLOG.Post, BLOG.Comment
Translation, Tag, Picture, Asset = BLOG.Translation, BLOG.Tag, BLOG.Picture, BLOG.Asset


@pytest.fixture
def filled(session: Session) -> Session:
    """
    A blog with a post, which has comments, a reply and a translation; another post.
    """
    reply = Comment(id=3, text="reply")
    comments = [Comment(id=1, text="one", replies=[reply]), Comment(id=2, text="two")]
    translation = Translation(language="de", text="erster")
    first = Post(id=1, slug="first", comments=comments, translations=[translation])
    session.add(Blog(id=1, name="blog", posts=[first, Post(id=2, slug="second")]))
    session.commit()
    return session


def live(session: Session) -> dict[str, list[Any]]:
    """
    Give the keys of all live rows.
    """
    return {
        cls.__tablename__: sorted(
            session.scalars(select(list(inspect(cls).primary_key)[-1]).select_from(cls))
        )
        for cls in (Blog, Post, Comment, Translation)
    }


ALL = {"blog": [1], "post": [1, 2], "comment": [1, 2, 3], "translation": ["de"]}


def names(found: list[Any]) -> list[tuple[str, Any]]:
    """
    Name objects by their class and key.
    """
    return [(type(each).__name__, inspect(each).identity[-1]) for each in found]


def test_restore_gives_back_the_whole_deletion(filled: Session) -> None:
    """
    All that one deletion took comes back, and is told, parents first.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    found = restore(filled, first)
    filled.commit()
    assert names(found)[0] == ("Post", 1)
    assert sorted(names(found)[1:]) == [
        ("Comment", 1),
        ("Comment", 2),
        ("Comment", 3),
        ("Translation", "de"),
    ]
    assert live(filled) == ALL
    row = filled.execute(text("SELECT deleted_at, deleted_by, deletion_id FROM post WHERE id = 1"))
    assert row.one() == (None, None, None)


def test_what_was_deleted_before_stays_deleted(filled: Session) -> None:
    """
    A row that died in another deletion is not brought back.
    """
    filled.delete(filled.get(Comment, 2))
    filled.commit()
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    restore(filled, first)
    assert live(filled)["comment"] == [1, 3]


def test_from_any_row_of_the_deletion(filled: Session) -> None:
    """
    Any object of the deletion stands for all of it, also the lowest.
    """
    filled.delete(filled.get(Blog, 1))
    filled.commit()
    assert live(filled) == {"blog": [], "post": [], "comment": [], "translation": []}
    reply = filled.scalars(only_deleted(select(Comment)).where(Comment.id == 3)).one()
    assert len(restore(filled, reply)) == 7
    assert live(filled) == ALL


def test_in_the_same_transaction(filled: Session) -> None:
    """
    Objects that the transaction deleted are the very objects that come back.
    """
    first, comment = filled.get(Post, 1), filled.get(Comment, 1)
    texts = [each.text for each in first.comments]
    filled.delete(first)
    filled.flush()
    found = restore(filled, comment)
    assert first in filled
    assert comment in filled
    assert any(each is first for each in found)
    assert not first.is_deleted
    assert [each.text for each in first.comments] == texts
    assert filled.get(Post, 1) is first
    first.slug = "changed"
    filled.commit()
    assert filled.scalar(select(Post.slug).where(Post.id == 1)) == "changed"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_what_was_looked_at_in_the_bin_comes_back(filled: Session, end: str) -> None:
    """
    A row that was loaded anew after its deletion, in the same transaction, is what is restored.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.flush()
    seen = filled.scalars(only_deleted(select(Post).where(Post.id == 1))).one()
    assert seen is not first
    found = restore(filled, seen)
    assert any(each is seen for each in found)
    assert not seen.is_deleted
    assert live(filled) == ALL
    getattr(filled, end)()
    assert live(filled) == ALL
    assert not filled.get(Post, 1).is_deleted


def test_a_rollback_after_a_restore(filled: Session) -> None:
    """
    Rolling back a deletion and its restore leaves all as it was.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.flush()
    restore(filled, first)
    filled.rollback()
    assert first in filled
    assert not first.is_deleted
    assert live(filled) == ALL


def test_a_rollback_of_a_restore(filled: Session) -> None:
    """
    Rolling back a restore leaves the rows deleted.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    (again, *_) = restore(filled, first)
    filled.rollback()
    assert again.is_deleted
    assert live(filled)["post"] == [2]


def test_a_pending_deletion_is_written_first(filled: Session) -> None:
    """
    An object that is only marked in the session is deleted and restored.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    assert len(restore(filled, first)) == 5
    assert first in filled


def test_a_live_object(filled: Session) -> None:
    """
    There is nothing to restore of a live object.
    """
    assert restore(filled, filled.get(Post, 1)) == []


def test_a_detached_object_stays_detached(filled: Session, blog: Database) -> None:
    """
    The row of a detached object comes back as a new instance, in whatever session.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    with Session(blog.engine()) as other:
        found = restore(other, first)
        assert found[0] is not first
        assert found[0] in other
        other.commit()
    assert inspect(first).detached


def test_unique_values_that_were_taken(filled: Session) -> None:
    """
    Every conflict is told before anything is changed.
    """
    for number in (1, 2):
        filled.delete(filled.get(Post, number))
        filled.commit()
    filled.add(Post(id=9, slug="first"))
    filled.commit()
    first = filled.scalars(with_deleted(select(Post).where(Post.id == 1))).one()
    before = live(filled)
    with pytest.raises(RestoreConflict) as caught:
        restore(filled, first)
    (conflict,) = caught.value.conflicts
    for word in ("Post (id=1)", "Post (id=9)", "post_live_slug_key"):
        assert word in conflict
    assert live(filled) == before
    filled.get(Post, 9).slug = "another"
    assert len(restore(filled, first)) == 5


def test_a_parent_that_was_deleted_apart(filled: Session) -> None:
    """
    A row does not come back below a parent that is deleted under another deletion.
    """
    comment = filled.get(Comment, 1)
    filled.delete(comment)
    filled.commit()
    filled.delete(filled.get(Post, 1))
    filled.commit()
    before = live(filled)
    with pytest.raises(RestoreConflict, match=r"Comment \(id=1\) is below Post \(id=1\)"):
        restore(filled, comment)
    assert live(filled) == before


def test_the_session_survives_a_conflict(filled: Session) -> None:
    """
    A refused restore leaves the transaction as it was.
    """
    comment = filled.get(Comment, 1)
    filled.delete(comment)
    filled.commit()
    filled.delete(filled.get(Post, 1))
    filled.flush()
    filled.add(Tag(id=1, name="kept"))
    with pytest.raises(RestoreConflict):
        restore(filled, comment)
    filled.commit()
    assert filled.get(Tag, 1).name == "kept"


def test_a_rule_that_only_the_database_knows(filled: Session) -> None:
    """
    A violation that nobody foresaw is a conflict too, and takes nothing along.
    """
    filled.execute(
        text(
            "CREATE UNIQUE INDEX one_post ON post ((true)) WHERE deleted_at IS NULL"
            " AND slug LIKE 'f%'"
        )
    )
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    filled.add(Post(id=9, slug="f"))
    filled.commit()
    with pytest.raises(RestoreConflict, match="one_post"):
        restore(filled, first)
    filled.commit()
    assert live(filled)["comment"] == []


def test_rows_from_before_there_were_ids(filled: Session) -> None:
    """
    A row that is deleted without a deletion id comes back alone.
    """
    filled.execute(text("SET LOCAL session_replication_role = replica"))
    filled.execute(text("UPDATE post SET deleted_at = now() WHERE id = 2"))
    filled.commit()
    second = filled.scalars(only_deleted(select(Post))).one()
    assert restore(filled, second) == [second]
    assert live(filled) == ALL


def test_deletions_by_raw_sql(filled: Session) -> None:
    """
    What raw SQL deleted can be restored from Python, all rows of the statement together.
    """
    filled.execute(text("UPDATE post SET deleted_at = now()"))
    filled.commit()
    second = filled.scalars(only_deleted(select(Post).where(Post.id == 2))).one()
    assert len(restore(filled, second)) == 6
    assert live(filled) == ALL


def test_rows_that_moved_meanwhile(filled: Session) -> None:
    """
    A row of the deletion comes back even if its key leads elsewhere now.
    """
    first = filled.get(Post, 1)
    filled.delete(first)
    filled.commit()
    filled.execute(text("UPDATE comment SET post_id = 2 WHERE id = 2"))
    filled.commit()
    restore(filled, first)
    assert live(filled) == ALL


def test_inherited_classes(filled: Session) -> None:
    """
    Objects of a hierarchy come back as what they are.
    """
    filled.add(Picture(id=1, title="sun", width=3))
    filled.commit()
    filled.delete(filled.get(Asset, 1))
    filled.commit()
    dead = filled.scalars(only_deleted(select(Asset))).one()
    (picture,) = restore(filled, dead)
    assert isinstance(picture, Picture)
    assert picture.width == 3


def test_an_object_that_is_gone(filled: Session) -> None:
    """
    What was removed for good cannot be restored.
    """
    first = filled.get(Post, 1)
    filled.commit()
    hard_delete(filled, first)
    filled.commit()
    with pytest.raises(PgultraError, match="removed for good"):
        restore(filled, first)


@pytest.mark.parametrize("act", [delete, restore, hard_delete])
def test_objects_that_cannot_be_deleted(filled: Session, act: Any) -> None:
    """
    An object without SoftDelete, or without a row, is refused by name.
    """
    author = Author(id=1, name="ann")
    filled.add(author)
    filled.commit()
    for wrong in (author, "text"):
        with pytest.raises(PgultraError, match="no object of a class with"):
            act(filled, wrong)
    with pytest.raises(PgultraError, match="never written"):
        act(filled, Post(id=7, slug="new"))


def test_delete_by_somebody(filled: Session) -> None:
    """
    delete() says who did it, for all that goes along.
    """
    first = filled.get(Post, 1)
    assert delete(filled, first, by="ann") is None
    assert first in filled.deleted
    filled.commit()
    rows = filled.execute(text("SELECT DISTINCT deleted_by FROM comment")).scalars()
    assert list(rows) == ["ann"]


def test_delete_by_the_setting(filled: Session) -> None:
    """
    Without a name the database takes it from the setting.
    """
    filled.execute(text("SET LOCAL pgultra.actor = 'bob'"))
    delete(filled, filled.get(Post, 1))
    filled.flush()
    assert filled.scalars(only_deleted(select(Post.deleted_by))).one() == "bob"


def test_nulls_that_are_not_distinct(database: Database) -> None:
    """
    Where NULLs are equal to each other, two of them are a conflict.
    """

    class Base(DeclarativeBase):
        pass

    class Seat(SoftDelete, Base):
        __tablename__ = "seat"
        __table_args__ = (
            unique_live("person", postgresql_nulls_not_distinct=True),
            unique_live(sa.func.lower(sa.text("name")), name="seat_lower"),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        person: Mapped[str | None]
        name: Mapped[str | None]

    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        first = Seat(id=1, name="A")
        session.add(first)
        session.commit()
        session.delete(first)
        session.commit()
        session.add(Seat(id=2, name="a"))
        session.commit()
        with pytest.raises(RestoreConflict) as caught:
            restore(session, first)
    assert "seat_live_person_key" in str(caught.value)


@pytest.mark.slow
def test_two_parents(database: Database) -> None:
    """
    A row below two parents comes back with the deletion that took it, if the other lives.
    """

    class Base(DeclarativeBase):
        pass

    class Person(SoftDelete, Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        seats: Mapped[list[Booking]] = relationship(cascade="all")

    class Room(SoftDelete, Base):
        __tablename__ = "room"
        id: Mapped[int] = mapped_column(primary_key=True)
        seats: Mapped[list[Booking]] = relationship(cascade="all")

    class Booking(SoftDelete, Base):
        __tablename__ = "booking"
        id: Mapped[int] = mapped_column(primary_key=True)
        person_id: Mapped[int] = mapped_column(sa.ForeignKey("person.id"))
        room_id: Mapped[int] = mapped_column(sa.ForeignKey("room.id"))

    Base.registry.configure()
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        person, room = Person(id=1), Room(id=1)
        session.add_all([person, room])
        session.flush()
        session.add(Booking(id=1, person_id=1, room_id=1))
        session.commit()
        session.delete(person)
        session.commit()
        session.delete(room)
        session.commit()
        with pytest.raises(RestoreConflict, match=r"below Room \(id=1\)"):
            restore(session, person)
        assert len(restore(session, room)) == 1
        assert len(restore(session, person)) == 2
        session.commit()


async def test_async_sessions(filled: Session, blog: Database) -> None:
    """
    The same functions take an async session, scoped or not.
    """
    engine = blog.async_engine()
    async with AsyncSession(engine) as session:
        first = await session.get(Post, 1)
        await delete(session, first, by="ann")
        await session.commit()
        assert len(await restore(session, first)) == 5
        await session.commit()
    scoped = async_scoped_session(sessionmaker(engine, class_=AsyncSession), scopefunc=lambda: 1)
    first = await scoped.get(Post, 1)
    await delete(scoped, first)
    await scoped.commit()
    assert len(await restore(scoped, first)) == 5
    await scoped.commit()
    await scoped.remove()
    assert live(filled) == ALL


def test_scoped_sessions(filled: Session, blog: Database) -> None:
    """
    A scoped session stands for its session.
    """
    scoped = scoped_session(sessionmaker(blog.engine()))
    first = scoped.get(Post, 1)
    delete(scoped, first, by="ann")
    scoped.commit()
    assert len(restore(scoped, first)) == 5
    scoped.commit()
    scoped.remove()
    assert live(filled) == ALL
