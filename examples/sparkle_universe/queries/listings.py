"""
Phase 8 of the seed: lists that come from an index of the rows that are shown, and of no others.

PostgreSQL takes a partial index for a prepared statement only if the condition is written
in it word for word; a parameter (``published = $1``) hides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal_column, select

from models import Comment, Post, User

if TYPE_CHECKING:
    from sqlalchemy import Select

ACTIVE = User.status == literal_column("'ACTIVE'")


def newest_posts(limit: int = 20) -> Select[str]:
    """
    The newest posts, for ``idx_posts_published_partial``.
    """
    return select(Post.title).where(Post.published).order_by(Post.published_at.desc()).limit(limit)


def active_users(limit: int = 20) -> Select[str]:
    """
    Users by when they were seen, for ``idx_users_active_partial``.
    """
    return select(User.username).where(ACTIVE).order_by(User.last_seen_at.desc()).limit(limit)


def thread(post: int) -> Select[str]:
    """
    The comments of a post, thread by thread, for ``idx_comments_thread``.
    """
    return (
        select(Comment.content)
        .where(Comment.post_id == post)
        .order_by(Comment.post_id, Comment.parent_id, Comment.created_at)
    )
