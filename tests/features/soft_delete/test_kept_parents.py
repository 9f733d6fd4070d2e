"""
Deleting a parent that is not soft-deletable, below which deleted rows still refer to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.exc import IntegrityError

from pgultra.features.soft_delete import hard_delete, only_deleted, with_deleted
from tests.features.soft_delete.sample import BLOG

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Author, Post = BLOG.Author, BLOG.Post


@pytest.fixture
def filled(session: Session) -> Session:
    """
    An author with a live post and a deleted one.
    """
    session.add(Author(id=1, name="ann"))
    session.flush()
    session.add_all([Post(id=n, slug=f"post {n}", author_id=1) for n in (1, 2)])
    session.commit()
    session.execute(delete(Post).where(Post.id == 2))
    session.commit()
    return session


def test_deleted_rows_hold_their_parent(filled: Session) -> None:
    """
    The session does not see them, so their keys stay, and the foreign key refuses.
    """
    filled.delete(filled.get_one(Author, 1))
    with pytest.raises(IntegrityError):
        filled.flush()


def test_a_parent_that_sees_them_takes_their_keys(filled: Session) -> None:
    """
    Loaded with propagate=True the parent finds them too, and they lose their keys.
    """
    statement = with_deleted(select(Author).where(Author.id == 1), propagate=True)
    filled.delete(filled.scalars(statement).one())
    filled.commit()
    assert filled.execute(text("SELECT id, author_id FROM post ORDER BY id")).all() == [
        (1, None),
        (2, None),
    ]
    assert filled.scalars(only_deleted(select(Post.id))).all() == [2]


def test_a_parent_goes_when_they_are_gone(filled: Session) -> None:
    """
    Or they are removed for good before.
    """
    hard_delete(filled, filled.scalars(only_deleted(select(Post))).one())
    filled.delete(filled.get_one(Author, 1))
    filled.commit()
    assert filled.execute(text("SELECT id, author_id FROM post")).all() == [(1, None)]
