"""
Savepoints that are rolled back: objects say again what their rows say.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.session import SessionTransaction

from pgultra.features.soft_delete import only_deleted, restore, with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.fixtures.database import Database

Post, Comment, Blog = BLOG.Post, BLOG.Comment, BLOG.Blog


@pytest.fixture
def post(session: Session) -> Any:
    """
    A post with a comment, beside another one.
    """
    comment = Comment(id=1, text="one")
    session.add_all(
        [
            Post(id=1, slug="first", blog=Blog(id=1, name="blog"), comments=[comment]),
            Post(id=2, slug="second"),
        ]
    )
    session.commit()
    return session.get(Post, 1)


def test_the_names_behind() -> None:
    """
    A transaction notes who left and who changed where we read and write it.
    """
    source = inspect.getsource(SessionTransaction._take_snapshot)
    for name in ("_deleted", "_dirty"):
        assert f"self.{name} = weakref.WeakKeyDictionary()" in source


@pytest.mark.parametrize("bulk", [False, True])
def test_a_deletion_is_rolled_back(session: Session, post: Any, bulk: bool) -> None:
    """
    After the rollback of a savepoint, what was deleted in it is live, in Python too.
    """
    (comment,) = post.comments
    savepoint = session.begin_nested()
    if bulk:
        session.execute(delete(Post).where(Post.id == 1))
    else:
        session.delete(post)
        session.flush()
    assert post.is_deleted
    assert comment.is_deleted
    savepoint.rollback()
    assert post in session
    assert not post.is_deleted
    assert not comment.is_deleted
    assert post.deletion_id is None
    post.slug = "changed"
    session.commit()
    assert session.scalar(text("SELECT slug FROM post WHERE id = 1 AND deleted_at IS NULL"))


def test_a_flag_is_rolled_back(session: Session, post: Any) -> None:
    """
    So does the flag of a class that keeps one.
    """
    blog = post.blog
    savepoint = session.begin_nested()
    session.delete(blog)
    session.flush()
    savepoint.rollback()
    assert not blog.is_deleted
    assert [each.id for each in session.scalars(select(Blog)) if not each.is_deleted] == [1]


def test_a_released_savepoint_goes_with_the_one_around(session: Session, post: Any) -> None:
    """
    A deletion in a released savepoint is undone with the savepoint around it.
    """
    outer = session.begin_nested()
    with session.begin_nested():
        session.delete(post)
    outer.rollback()
    assert post in session
    assert not post.is_deleted


def test_a_restore_is_rolled_back(session: Session, post: Any) -> None:
    """
    What a savepoint revived leaves the session again with it, and says what it said before.
    """
    (comment,) = post.comments
    session.delete(post)
    session.flush()
    deletion = post.deletion_id
    savepoint = session.begin_nested()
    assert len(restore(session, post)) == 2
    assert post in session
    assert post.deletion_id is None
    savepoint.rollback()
    assert post not in session
    assert comment not in session
    assert (post.is_deleted, post.deletion_id, post.slug) == (True, deletion, "first")
    assert session.get(Post, 1) is None
    assert len(restore(session, post)) == 2
    assert post in session
    session.commit()
    assert post.deleted_at is None


def test_a_restore_in_a_released_savepoint_is_rolled_back(session: Session, post: Any) -> None:
    """
    It does so too when only the savepoint around is rolled back.
    """
    session.delete(post)
    session.flush()
    outer = session.begin_nested()
    with session.begin_nested():
        restore(session, post)
    outer.rollback()
    assert post not in session
    assert post.is_deleted
    session.rollback()
    assert post in session
    assert not post.is_deleted


def test_both_in_one_savepoint(session: Session, post: Any) -> None:
    """
    A deletion and its restore that are undone together leave a live object.
    """
    outer = session.begin_nested()
    session.delete(post)
    session.flush()
    inner = session.begin_nested()
    restore(session, post)
    inner.commit()
    outer.rollback()
    assert post in session
    assert not post.is_deleted


def test_savepoints_in_savepoints(session: Session, post: Any) -> None:
    """
    An object that left in one savepoint and came back in another is where the rollbacks leave it.
    """
    outer = session.begin_nested()
    session.delete(post)
    session.flush()
    middle = session.begin_nested()
    inner = session.begin_nested()
    restore(session, post)
    inner.rollback()
    assert post not in session
    assert post.is_deleted
    middle.rollback()
    assert post not in session
    outer.rollback()
    assert post in session
    assert not post.is_deleted


def test_deleted_again_after_a_restore(session: Session, post: Any) -> None:
    """
    What was revived and deleted anew in the savepoint is what it was before.
    """
    session.delete(post)
    session.flush()
    deletion = post.deletion_id
    savepoint = session.begin_nested()
    restore(session, post)
    session.delete(post)
    session.flush()
    assert post.deletion_id != deletion
    savepoint.rollback()
    assert post not in session
    assert post.deletion_id == deletion


def test_a_row_from_the_bin(session: Session, post: Any) -> None:
    """
    An object that a restore loaded says after the rollback that it is deleted.
    """
    session.delete(post)
    session.commit()
    dead = session.scalars(only_deleted(select(Post))).one()
    savepoint = session.begin_nested()
    dead, comment = restore(session, dead)
    assert not dead.is_deleted
    savepoint.rollback()
    assert dead.is_deleted
    assert comment.is_deleted
    assert session.scalars(select(Post.id)).all() == [2]


def test_a_failed_flush(session: Session, post: Any) -> None:
    """
    A flush that fails after a deletion in the savepoint undoes the deletion with it.
    """
    savepoint = session.begin_nested()
    session.delete(post)
    session.flush()
    session.add(Post(id=3, slug="second"))
    with pytest.raises(sa.exc.IntegrityError):
        session.flush()
    savepoint.rollback()
    assert not post.is_deleted
    assert session.scalars(with_deleted(select(Post.id)).order_by(Post.id)).all() == [1, 2]


async def test_async(blog: Database) -> None:
    """
    An AsyncSession's savepoints do the same.
    """
    async with AsyncSession(blog.async_engine(), expire_on_commit=False) as session:
        post = Post(id=1, slug="first")
        session.add(post)
        await session.commit()
        savepoint = await session.begin_nested()
        await session.delete(post)
        await session.flush()
        await savepoint.rollback()
        await session.refresh(post)
        assert not post.is_deleted
        await session.delete(post)
        await session.flush()
        savepoint = await session.begin_nested()
        await restore(session, post)
        await savepoint.rollback()
        assert post not in session
        assert post.is_deleted
