"""
Uses of the search room, checked by mypy and pyright and never run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from sqlalchemy import Column, ColumnElement, Connection, Integer, MetaData, Select, Table, select
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
)

from pgultra import SearchVector, TSVector, TSVectorType, declare, search

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


class Base(DeclarativeBase):
    """
    A plain declarative base.
    """


class Article(Base):
    """
    Every option of a vector.
    """

    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column()
    language: Mapped[str]
    published: Mapped[bool]
    words: Mapped[TSVector] = SearchVector(
        {title: "A", "body": search.Part("B", budget=9000), search.Related("tag.name"): "C"},
        config={"de": "german", None: "simple"},
        language_column="language",
        mode="trigger",
        filter_live=True,
        fastupdate=False,
        index=True,
        concurrently=True,
        vocabulary=["title"],
        name="searchWords",
    )


class Wrong(Base):
    """
    What cannot be meant.
    """

    __tablename__ = "wrong"

    id: Mapped[int] = mapped_column(primary_key=True)
    partless: Mapped[TSVector] = SearchVector()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    listed: Mapped[TSVector] = SearchVector(["title"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    moded: Mapped[TSVector] = SearchVector({"title": "A"}, mode="triggers")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    spelt: Mapped[TSVector] = SearchVector({"title": "A"}, languages="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class DataBase(MappedAsDataclass, DeclarativeBase):
    """
    A dataclass base.
    """


class Note(DataBase):
    """
    There the type stands in ``mapped_column``.
    """

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    words: Mapped[TSVector] = mapped_column(TSVectorType({"text": "A"}), init=False)


PAGE = Table("page", MetaData(), Column("id", Integer), Column("words", TSVectorType({"id": "A"})))


def declarations() -> None:
    """
    Parts have weights of four letters.
    """
    declare(PAGE, search.Rules("words", {"title": "A"}, config="english"))
    search.Part("E")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    search.Part("A", budgt=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Note(id=1, text="x")
    Note(id=1, text="x", words="y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def expressions(article: Article) -> None:
    """
    What can stand in a WHERE or among the columns.
    """
    assert_type(Article.words, InstrumentedAttribute[TSVector])
    assert_type(article.words, TSVector)
    assert_type(search.match(Article.words, "fox"), ColumnElement[bool])
    assert_type(search.match(PAGE.c.words, "fox", language="de"), ColumnElement[bool])
    assert_type(search.phrase(Article.words, "fox"), ColumnElement[bool])
    assert_type(search.prefix(Article.words, "fo"), ColumnElement[bool])
    assert_type(search.any_word(Article.words, Article.title), ColumnElement[bool])
    assert_type(search.rank(Article.words, "fox", weights={"A": 1}), ColumnElement[float])
    assert_type(search.rank_cd(Article.words, "fox", normalization=2), ColumnElement[float])
    assert_type(search.understood(Article.words, "fox"), ColumnElement[str])
    assert_type(search.headline(Article.words, "fox", start="<b>"), ColumnElement[str])
    search.match(Article.words, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    search.match("words", "fox")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    search.headline(Article.words, "fox", stopp="")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    search.mtch(Article.words, "fox")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def statements(session: Session) -> None:
    """
    A statement keeps the types of its rows, and gets those of what is added.
    """
    by_class = search.top(Article, Article.words, "fox", 10, candidates=None)
    assert_type(by_class, Select[Article, float])
    titles = search.top(select(Article.title, Article.id), Article.words, "fox", words="any")
    assert_type(titles, Select[str, int, float])
    for article, rank in session.execute(by_class).tuples():
        assert_type(article, Article)
        assert_type(rank, float)
    assert_type(search.top(PAGE, PAGE.c.words, "fox"), Select[Any])
    fused = search.hybrid(Article, text="fox", vector=[1.0], filters=[Article.published])
    assert_type(fused, Select[Article, float, int | None, int | None])
    several = search.federated(
        [search.Source(Article, weight=2.0, filters=[Article.published, Article.id > 5])], "fox"
    )
    assert_type(several, Select[str, str, str | None, float, dict[str, Any] | None])
    last = session.execute(several).one()
    search.federated([], "fox", after=search.After(last.rank, last.source, last.key))
    search.federated([], "fox", after=last)
    assert_type(search.suggest(Article.words, "fo", 3), Select[str, str, int])
    assert_type(session.scalar(search.did_you_mean(Article.words, "fxo")), str | None)
    search.top(Article, Article.words, "fox", word="any")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    search.top(Article, Article.words, "fox", words="some")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    search.federated(["article"], "fox")  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def work(connection: Connection) -> None:
    """
    What does I/O, sync.
    """
    assert_type(search.backfill(connection, Article.words, progress=print), search.Backfilled)
    assert_type(search.backfill(connection, Article.words, batch_size=5).seen, int)
    assert_type(search.roll_up(connection, Article.words, anew=True), int)
    search.backfill(connection, Article.words, batchsize=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def work_async(session: AsyncSession, connection: AsyncConnection) -> None:
    """
    And async, awaited; statements are the same.
    """
    assert_type(await search.backfill(connection, Article.words), search.Backfilled)
    assert_type(await search.roll_up(connection, Article.words), int)
    rows = await session.execute(search.top(Article, Article.words, "fox"))
    assert_type(rows.tuples().one()[0], Article)
