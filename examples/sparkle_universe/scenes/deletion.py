"""
Phase 5: one deletion over many tables, and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import Post, User
from pgultra import RestoreConflict, soft_delete
from queries.deletion import act_as, grant, mark, taken, validate
from queries.search import search_all
from stage import scene, table

if TYPE_CHECKING:
    from sqlalchemy import Engine


def deletion(engine: Engine) -> None:
    """
    A user goes with all that belongs to her, her name is taken, and she comes back.
    """
    scene("A user is deleted")
    with Session(engine) as session:
        act_as(session, "mireille")
        queen = session.scalars(select(User).filter_by(username="sparkle_queen")).one()
        soft_delete.delete(session, queen)
        session.flush()
        gone = session.scalars(
            soft_delete.only_deleted(select(User).filter_by(username="sparkle_queen"))
        ).one()
        print(f"by {gone.deleted_by}, with what belongs to her:")
        table(taken(session.connection(), gone.deletion_id).items())
        found = session.execute(search_all("sparkle", "users")).all()
        print(f"users with 'sparkle' now: {', '.join(row.title for row in found)}")
        other = User(username="Sparkle_Queen")
        session.add(other)
        session.flush()
        try:
            soft_delete.restore(session, gone)
        except RestoreConflict as conflict:
            print(conflict)
        soft_delete.hard_delete(session, other)
        soft_delete.restore(session, gone)
        posts = select(func.count()).where(Post.author_id == gone.id)
        print(f"the other one is gone, she is back and has {session.scalar(posts)} posts")
        session.commit()

        scene("UPDATE posts SET deleted = true WHERE id = 1")
        act_as(session, "a program in any language")
        connection = session.connection()
        mark(connection, "posts", 1, deleted=True)
        gone_post = session.scalars(
            soft_delete.only_deleted(select(Post).where(Post.id == 1))
        ).one()
        print(f"by {gone_post.deleted_by}, with what belongs to it:")
        table(taken(connection, gone_post.deletion_id).items())
        mark(connection, "posts", 1, deleted=False)
        print("and back:", taken(connection, gone_post.deletion_id) or "nothing is deleted")
        print(f"an achievement granted twice: {[grant(session, 2, 'FIRST_POST') for _ in 'ab']}")
        print(f"rows that contradict themselves: {len(validate(connection))}")
        try:
            session.execute(text("DELETE FROM polls"))
        except IntegrityError as error:
            print(f"DELETE: {str(error.orig).splitlines()[0]}")
