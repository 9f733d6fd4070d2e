"""
Posts and what hangs on them.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # Mapped[datetime] is evaluated
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, Index, Table, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, Deletable
from pgultra import SearchVector, TSVector, soft_delete

if TYPE_CHECKING:
    from models.people import User


class Category(Deletable, Base):
    """
    Its posts stay when it goes.
    """

    __tablename__ = "categories"
    __table_args__ = (soft_delete.unique_live("slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str]


class PostSeries(Deletable, Base):
    __tablename__ = "post_series"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column("authorId", ForeignKey("users.id"), index=True)
    title: Mapped[str]


class Tag(Deletable, Base):
    __tablename__ = "tags"
    __table_args__ = (soft_delete.unique_live("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


post_tags = Table(
    "post_tags",
    Base.metadata,
    Column("postId", ForeignKey("posts.id"), primary_key=True),
    Column("tagId", ForeignKey("tags.id"), primary_key=True, index=True),
)


class Post(Deletable, Base):
    """
    Of the JSON content only the texts are searched, not its keys.
    """

    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column("authorId", ForeignKey("users.id"), index=True)
    author_name: Mapped[str | None] = mapped_column("authorName")
    category_id: Mapped[int | None] = mapped_column("categoryId", ForeignKey("categories.id"))
    series_id: Mapped[int | None] = mapped_column("seriesId", ForeignKey("post_series.id"))
    title: Mapped[str] = mapped_column()
    slug: Mapped[str]
    excerpt: Mapped[str | None]
    cover_image: Mapped[str | None] = mapped_column("coverImage")
    content: Mapped[dict[str, Any] | None]
    meta_keywords: Mapped[list[str] | None] = mapped_column("metaKeywords")
    published: Mapped[bool] = mapped_column(server_default="false")
    published_at: Mapped[datetime | None] = mapped_column("publishedAt")
    updated_at: Mapped[datetime] = mapped_column("updatedAt", server_default=func.now())
    search_vector: Mapped[TSVector] = SearchVector(
        {"title": "A", "excerpt": "B", "content": "C", "meta_keywords": "D"}, config="english"
    )
    title_words: Mapped[TSVector] = SearchVector({"title": "A"}, vocabulary=True)

    author: Mapped[User | None] = relationship(back_populates="posts")
    comments: Mapped[list[Comment]] = relationship(cascade="all")
    polls: Mapped[list[Poll]] = relationship(cascade="all")
    tags: Mapped[list[Tag]] = relationship(secondary=post_tags)

    __table_args__ = (
        soft_delete.unique_live("slug"),
        Index(
            "posts_published",
            published_at.desc(),
            postgresql_where=text('"deletedAt" IS NULL AND published'),
        ),
    )


class Comment(Deletable, Base):
    """
    A thread goes with its first comment, and with its post.
    """

    __tablename__ = "comments"
    __table_args__ = (soft_delete.index_live("postId", "parentId", "createdAt"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column("postId", ForeignKey("posts.id"), index=True)
    author_id: Mapped[int] = mapped_column("authorId", ForeignKey("users.id"), index=True)
    parent_id: Mapped[int | None] = mapped_column("parentId", ForeignKey("comments.id"), index=True)
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column("createdAt", server_default=func.now())
    replies: Mapped[list[Comment]] = relationship(cascade="all")


class Poll(Deletable, Base):
    __tablename__ = "polls"

    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column("postId", ForeignKey("posts.id"), index=True)
    question: Mapped[str]
