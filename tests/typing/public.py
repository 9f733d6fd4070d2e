"""
Uses of the soft_delete room and the embedded server, checked by mypy and pyright and never run.

Each public name is used in a file of this folder. What must be an error is marked with two
ignores, one for each checker, and a checker reports its own when it is not needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, assert_type
from uuid import UUID

from sqlalchemy import URL, ColumnElement, Connection, Select, Table, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Query,
    Session,
    mapped_column,
)

from pgultra import SoftDelete, SoftDeleteOptions, declare, soft_delete
from pgultra.integrations.embedded import PrivateServer, major_version, wheel_binaries

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


def private_server() -> None:
    """
    The server is its own context manager, and its address is SQLAlchemy's.
    """
    with PrivateServer(Path("/opt"), settings={"jit": "off"}) as server:
        assert_type(server, PrivateServer)
        assert_type(server.url("shop", driver="asyncpg"), URL)
    binaries = wheel_binaries()
    assert_type(binaries, Path | None)
    assert_type(major_version(binaries or Path("/opt")), int)
    major_version(binaries)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    PrivateServer(binaries=17)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


class Article(SoftDelete, Base):
    """
    A class with everything said.
    """

    __tablename__ = "article"
    __soft_delete__ = SoftDeleteOptions(
        deleted_at="deletedAt",
        flag="is_deleted",
        cascade=("comments",),
        guard="allow",
        refuse_orphans=True,
        purge_after=timedelta(days=30),
        view="live_articles",
        concurrently=True,
    )
    __table_args__ = (
        soft_delete.unique_live("slug"),
        soft_delete.index_live("slug", postgresql_using="hash"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]


class DataBase(MappedAsDataclass, DeclarativeBase):
    """
    A dataclass base.
    """


class Note(SoftDelete, DataBase):
    """
    The room's attributes are no arguments of the constructor.
    """

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(default="")


def soft_deletable_classes(article: Article) -> None:
    """
    Attributes are typed on objects and on classes.
    """
    assert_type(article.deleted_at, datetime | None)
    assert_type(article.deleted_by, str | None)
    assert_type(article.deletion_id, UUID | None)
    assert_type(
        select(Article.deleted_at, Article.deletion_id).order_by(Article.deleted_at.desc()),
        Select[datetime | None, UUID | None],
    )
    Note(id=1, text="x")
    Note(id=1, deleted_by="ann")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SoftDeleteOptions(deletd_at="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    SoftDeleteOptions(guard="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def soft_delete_of_core(table: Table) -> None:
    """
    Core tables have the same options.
    """
    declare(table, soft_delete.Rules(cascade=("comment.article_id",)), soft_delete.unique_live("x"))
    assert_type(soft_delete.alive(table), ColumnElement[bool])
    statement = soft_delete.on_conflict_live(insert(table), "slug", set_={"slug": "x"})
    assert_type(statement, Insert)


def soft_delete_statements(query: Query[Article]) -> None:
    """
    A statement keeps its type.
    """
    assert_type(soft_delete.with_deleted(select(Article)), Select[Article])
    assert_type(soft_delete.only_deleted(select(Article.id)), Select[int])
    assert_type(soft_delete.with_deleted(query, propagate=True), Query[Article])


def soft_delete_sync(session: Session, connection: Connection, article: Article) -> None:
    """
    With a sync session or connection the answer is there at once.
    """
    soft_delete.delete(session, article, by="ann")
    assert_type(soft_delete.restore(session, article), list[SoftDelete])
    assert_type(soft_delete.hard_delete(session, article), int)
    done = soft_delete.purge(connection, Article, older_than=timedelta(days=1), batch_size=5)
    assert_type(done, soft_delete.Purged)
    assert_type(done.skipped, int)
    assert_type(soft_delete.audit(connection, Base), list[soft_delete.Finding])
    soft_delete.restore(connection, article)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    soft_delete.delete(session, "text")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def soft_delete_async(
    session: AsyncSession, connection: AsyncConnection, article: Article
) -> None:
    """
    With an async one it is awaited.
    """
    await soft_delete.delete(session, article, by="ann")
    assert_type(await soft_delete.restore(session, article), list[SoftDelete])
    assert_type(await soft_delete.hard_delete(session, article), int)
    assert_type(await soft_delete.purge(connection, Article), soft_delete.Purged)
    assert_type(await soft_delete.audit(connection, Article), list[soft_delete.Finding])
