"""
A bulk DELETE of a session, which becomes an UPDATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, delete, event, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pgultra.features.soft_delete import only_deleted, restore, with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.fixtures.database import Database

Author, Blog, Post, Comment = BLOG.Author, BLOG.Blog, BLOG.Post, BLOG.Comment
Translation, Tag, Asset = BLOG.Translation, BLOG.Tag, BLOG.Asset
Picture, Link = BLOG.Picture, BLOG.Link


@pytest.fixture
def filled(session: Session) -> Session:
    """
    Three posts with two comments each, one post deleted before; some assets.
    """
    session.add_all(
        Post(
            id=number,
            slug=f"post {number}",
            comments=[Comment(id=number * 10 + n, text="x") for n in (1, 2)],
        )
        for number in (1, 2, 3)
    )
    session.add_all([Picture(id=1, title="sun", width=9), Picture(id=2, title="moon", width=5)])
    session.add_all([Link(id=3, title="home", address="/"), Asset(id=4, title="thing")])
    session.add_all([Translation(post_id=1, language=each, text="t") for each in ("de", "fr")])
    session.commit()
    session.delete(session.get(Post, 3))
    session.commit()
    return session


def live(session: Session, cls: Any) -> list[Any]:
    """
    Give the keys of live rows.
    """
    key = list(sa.inspect(cls).primary_key)[-1]
    return sorted(session.scalars(select(key).select_from(cls)))


def test_a_bulk_delete_marks_and_cascades(filled: Session) -> None:
    """
    The rows and what cascades from them are one deletion; rows that are dead stay as they are.
    """
    before = filled.scalars(only_deleted(select(Post.deletion_id))).one()
    result = filled.execute(delete(Post).where(Post.id >= 2))
    assert result.rowcount == 1
    assert live(filled, Post) == [1]
    assert live(filled, Comment) == [11, 12]
    ids = dict(filled.execute(only_deleted(select(Post.id, Post.deletion_id))).all())
    assert ids[3] == before != ids[2]
    comments = filled.scalars(only_deleted(select(Comment.deletion_id)).where(Comment.id < 30))
    assert set(comments) == {ids[2]}


def test_without_a_condition(filled: Session) -> None:
    """
    All live rows go, and all come back together.
    """
    assert filled.execute(delete(Post)).rowcount == 2
    assert live(filled, Post) == live(filled, Comment) == []
    one = filled.scalars(with_deleted(select(Post).where(Post.id == 1))).one()
    assert {type(each) for each in restore(filled, one)} == {Post, Comment, Translation}
    assert live(filled, Post) == [1, 2]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch"])
def test_objects_leave_the_session(filled: Session, synchronize: str) -> None:
    """
    Objects that the session holds leave it, those that went along too.
    """
    first, second = filled.get(Post, 1), filled.get(Post, 2)
    comment = filled.get(Comment, 21)
    filled.execute(
        delete(Post).where(Post.slug == "post 2"),
        execution_options={"synchronize_session": synchronize},
    )
    assert first in filled
    assert second not in filled
    assert comment not in filled
    assert second.is_deleted
    filled.rollback()
    assert second in filled
    assert not comment.is_deleted


def test_objects_stay_if_one_says_so(filled: Session) -> None:
    """
    Without synchronisation the session keeps what it holds.
    """
    second = filled.get(Post, 2)
    statement = delete(Post).where(Post.id == 2).execution_options(synchronize_session=False)
    assert filled.execute(statement).rowcount == 1
    assert second in filled


def test_returning(filled: Session) -> None:
    """
    RETURNING gives what it is asked for: columns, or objects.
    """
    rows = filled.execute(delete(Post).where(Post.id == 1).returning(Post.id, Post.slug)).all()
    assert rows == [(1, "post 1")]
    found = filled.scalars(delete(Post).where(Post.id == 2).returning(Post)).all()
    assert [each.slug for each in found] == ["post 2"]
    assert found[0] not in filled


def test_parameters(filled: Session) -> None:
    """
    A statement may have parameters of its own.
    """
    statement = delete(Post).where(Post.id == bindparam("which"))
    for _ in range(2):
        assert filled.execute(statement, {"which": 1}).rowcount in (0, 1)
    assert live(filled, Post) == [2]


def test_subqueries_see_live_rows(filled: Session) -> None:
    """
    The condition is filtered like that of any statement.
    """
    dead_too = select(Comment.post_id).where(Comment.id.in_([21, 31]))
    filled.execute(delete(Comment).where(Comment.id == 21))
    assert filled.execute(delete(Post).where(Post.id.in_(dead_too))).rowcount == 0
    assert filled.execute(delete(Post).where(Post.comments.any(Comment.id == 21))).rowcount == 0
    assert filled.execute(delete(Post).where(Post.comments.any(Comment.id == 22))).rowcount == 1


def test_with_deleted_opens_the_condition_only(filled: Session) -> None:
    """
    Even so, a row that is deleted already is not deleted again.
    """
    before = filled.scalars(only_deleted(select(Post.deletion_id))).one()
    statement = delete(Post).where(Post.comments.any(Comment.id.in_([21, 31])))
    assert filled.execute(with_deleted(statement)).rowcount == 1
    after = filled.scalars(only_deleted(select(Post.deletion_id)).where(Post.id == 3)).one()
    assert before == after


def test_another_table_in_the_condition(filled: Session) -> None:
    """
    What DELETE ... USING would name can be named.
    """
    statement = delete(Post).where(Post.id == Comment.post_id, Comment.id == 11)
    assert filled.execute(statement).rowcount == 1
    assert live(filled, Post) == [2]


def test_inherited_classes(filled: Session) -> None:
    """
    Subclasses delete their own rows, in the table at the root.
    """
    assert filled.execute(delete(Picture).where(Picture.width > 7)).rowcount == 1
    assert live(filled, Asset) == [2, 3, 4]
    assert filled.execute(delete(Link)).rowcount == 1
    assert live(filled, Asset) == [2, 4]
    assert filled.execute(delete(Asset).where(Asset.title == "moon")).rowcount == 1
    assert live(filled, Asset) == [4]


def test_composite_keys(filled: Session) -> None:
    """
    A key of several columns is no obstacle.
    """
    assert filled.execute(delete(Translation).where(Translation.language == "de")).rowcount == 1
    assert live(filled, Translation) == ["fr"]


def test_own_column_names_and_a_flag(filled: Session) -> None:
    """
    The host's names are used, and the flag follows.
    """
    filled.add(Blog(id=1, name="blog"))
    filled.commit()
    filled.execute(delete(Blog))
    row = filled.execute(text('SELECT "deletedAt" IS NOT NULL, is_deleted FROM blog')).one()
    assert tuple(row) == (True, True)


def test_the_actor(filled: Session) -> None:
    """
    The setting says who did it.
    """
    filled.execute(text("SET LOCAL pgultra.actor = 'ann'"))
    filled.execute(delete(Post).where(Post.id == 1))
    rows = filled.scalars(only_deleted(select(Comment.deleted_by)).where(Comment.post_id == 1))
    assert set(rows) == {"ann"}


def test_the_legacy_query(filled: Session) -> None:
    """
    Query.delete() is the same.
    """
    assert filled.query(Post).filter(Post.id == 1).delete() == 1
    assert live(filled, Post) == [2]


def test_other_deletes_stay_deletes(filled: Session) -> None:
    """
    What is not soft-deletable is deleted; Core on a soft-deletable table meets the guard.
    """
    filled.add_all([Author(id=1, name="ann"), Tag(id=1, name="sql")])
    filled.commit()
    assert filled.execute(delete(Author)).rowcount == 1
    with pytest.raises(IntegrityError, match="deleted softly"):
        filled.execute(delete(Tag.__table__))


def test_rows_are_locked_in_order(filled: Session) -> None:
    """
    The rows are locked by key before the first is changed.
    """
    sent: list[str] = []
    event.listen(filled.get_bind(), "before_cursor_execute", lambda *given: sent.append(given[2]))
    filled.execute(delete(Post).where(Post.id > 0))
    (statement,) = (each for each in sent if each.startswith("UPDATE post"))
    assert "ORDER BY post.id FOR UPDATE OF post" in statement


async def test_async_sessions(filled: Session, blog: Database) -> None:
    """
    An async session does the same.
    """
    async with AsyncSession(blog.async_engine()) as session:
        comment = await session.get(Comment, 11)
        result = await session.execute(delete(Post).where(Post.id == 1).returning(Post.slug))
        assert result.scalars().all() == ["post 1"]
        assert comment not in session
        await session.commit()
    assert filled.scalar(select(func.count(Post.id))) == 1
