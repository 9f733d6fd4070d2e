"""
The room's sample: a small blog with all that the room can do.

``models()`` gives the classes, ``build()`` their MetaData for the laws, ``BLOG`` one copy
for the tests of the room.
"""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions, index_live, unique_live

if TYPE_CHECKING:
    from collections.abc import Callable


def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:
    """
    The sample's tables in a MetaData of its own.
    """
    base = models(schema, name).Base
    base.registry.configure()  # from now on the classes hold each other
    metadata: sa.MetaData = base.metadata
    return metadata


def models(schema: str | None = None, name: Callable[[str], str] = str) -> SimpleNamespace:
    """
    The sample's classes.

    A blog has posts, a post has comments and translations, a comment has replies; tags
    hang on posts but do not go with them, and an author cannot be deleted at all.
    Pictures are assets (joined), and so are links (single table).
    """
    spelt, place = name, {"schema": schema}

    class Base(DeclarativeBase):
        pass

    class Author(Base):
        __tablename__ = spelt("author")
        __table_args__ = place

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(spelt("name"))
        posts: Mapped[list[Post]] = relationship(back_populates="author")

    class Blog(SoftDelete, Base):
        __tablename__ = spelt("blog")
        __table_args__ = place
        __soft_delete__ = SoftDeleteOptions(
            deleted_at=spelt("deletedAt"),
            deleted_by=spelt("deletedBy"),
            deletion_id=spelt("deletionId"),
            flag=spelt("is_deleted"),
            purge_after=timedelta(days=30),
        )

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(spelt("name"))
        posts: Mapped[list[Post]] = relationship(
            back_populates="blog", cascade="all, delete-orphan", order_by="Post.id"
        )

    link = sa.Table(
        spelt("post_tag"),
        Base.metadata,
        sa.Column(spelt("post_id"), sa.Integer, primary_key=True),
        sa.Column(spelt("tag_id"), sa.Integer, primary_key=True),
        **place,
    )

    class Post(SoftDelete, Base):
        __tablename__ = spelt("post")
        __table_args__ = (unique_live(spelt("slug")), place)
        __soft_delete__ = SoftDeleteOptions(view=True)

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        slug: Mapped[str] = mapped_column(spelt("slug"))
        blog_id: Mapped[int | None] = mapped_column(
            spelt("blog_id"), sa.ForeignKey(Blog.__table__.c[spelt("id")])
        )
        author_id: Mapped[int | None] = mapped_column(
            spelt("author_id"), sa.ForeignKey(Author.__table__.c[spelt("id")])
        )
        blog: Mapped[Blog | None] = relationship(back_populates="posts")
        author: Mapped[Author | None] = relationship(back_populates="posts")
        comments: Mapped[list[Comment]] = relationship(
            back_populates="post", cascade="all, delete-orphan", order_by="Comment.id"
        )
        translations: Mapped[list[Translation]] = relationship(
            back_populates="post", cascade="all", passive_deletes=True
        )
        tags: Mapped[list[Tag]] = relationship(secondary=link, order_by="Tag.id")

    class Comment(SoftDelete, Base):
        __tablename__ = spelt("comment")
        __table_args__ = (index_live(spelt("post_id")), place)
        __soft_delete__ = SoftDeleteOptions(refuse_orphans=True)

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        text: Mapped[str] = mapped_column(spelt("text"))
        post_id: Mapped[int | None] = mapped_column(
            spelt("post_id"), sa.ForeignKey(Post.__table__.c[spelt("id")])
        )
        parent_id: Mapped[int | None] = mapped_column(spelt("parent_id"))
        post: Mapped[Post | None] = relationship(back_populates="comments")
        replies: Mapped[list[Comment]] = relationship(
            back_populates="parent", cascade="all, delete-orphan", order_by="Comment.id"
        )
        parent: Mapped[Comment | None] = relationship(
            back_populates="replies", remote_side=lambda: Comment.id
        )

    class Translation(SoftDelete, Base):
        __tablename__ = spelt("translation")
        __table_args__ = place

        post_id: Mapped[int] = mapped_column(
            spelt("post_id"), sa.ForeignKey(Post.__table__.c[spelt("id")]), primary_key=True
        )
        language: Mapped[str] = mapped_column(
            spelt("language"), primary_key=True, autoincrement=False
        )
        text: Mapped[str] = mapped_column(spelt("text"))
        post: Mapped[Post] = relationship(back_populates="translations")

    class Tag(SoftDelete, Base):
        __tablename__ = spelt("tag")
        __table_args__ = place

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(spelt("name"))

    class Asset(SoftDelete, Base):
        __tablename__ = spelt("asset")
        __table_args__ = place
        __mapper_args__: ClassVar = {"polymorphic_on": "kind", "polymorphic_identity": "asset"}

        id: Mapped[int] = mapped_column(spelt("id"), primary_key=True, autoincrement=False)
        kind: Mapped[str] = mapped_column(spelt("kind"))
        title: Mapped[str] = mapped_column(spelt("title"))

    class Picture(Asset):
        __tablename__ = spelt("picture")
        __table_args__ = place
        __mapper_args__: ClassVar = {"polymorphic_identity": "picture"}

        id: Mapped[int] = mapped_column(
            spelt("id"), sa.ForeignKey(Asset.__table__.c[spelt("id")]), primary_key=True
        )
        width: Mapped[int] = mapped_column(spelt("width"))

    class Link(Asset):
        __mapper_args__: ClassVar = {"polymorphic_identity": "link"}

        address: Mapped[str | None] = mapped_column(spelt("address"), nullable=True)

    comment = Comment.__table__
    comment.append_constraint(
        sa.ForeignKeyConstraint([comment.c[spelt("parent_id")]], [comment.c[spelt("id")]])
    )
    for column, target in (("post_id", Post), ("tag_id", Tag)):
        link.append_constraint(
            sa.ForeignKeyConstraint([link.c[spelt(column)]], [target.__table__.c[spelt("id")]])
        )
    return SimpleNamespace(
        Base=Base,
        Author=Author,
        Blog=Blog,
        Post=Post,
        Comment=Comment,
        Translation=Translation,
        Tag=Tag,
        Asset=Asset,
        Picture=Picture,
        Link=Link,
        link=link,
    )


BLOG = models()
