"""
Which rows ``federated`` and ``hybrid`` may find: each once, and those of the session's criteria.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    with_loader_criteria,
)

from pgultra import DeclarationError
from pgultra.features import search
from pgultra.features.search import After, SearchVector, Source, TSVector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import ORMExecuteState


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class Article(Base):
    """
    What is searched.
    """

    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    tenant: Mapped[int]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")


class Tag(Base):
    """
    What hangs on it.
    """

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id))
    name: Mapped[str]


NOTE = sa.Table(
    "note",
    Base.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("search", search.TSVectorType({"title": "A"}, config="english")),
)
"""A table of no class."""


class Report(Article):
    """
    An article with a table of its own.
    """

    __tablename__ = "report"
    id: Mapped[int] = mapped_column(sa.ForeignKey(Article.id), primary_key=True)


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    Forty articles of ten tenants, most with many tags.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        for number in range(1, 41):
            title = "fox " * (number % 4 + 1)
            session.add(Article(id=number, title=title, tenant=number % 10))
        session.flush()
        names = "abcdef"
        session.add_all(
            Tag(article_id=number, name=name) for number in range(1, 31) for name in names
        )
        session.flush()
        yield session


def pages(session: Session, sources: list[Source], size: int) -> list[Any]:
    """
    All pages, one after the other; a hundred rows at most.
    """
    rows: list[Any] = []
    while len(rows) < 100:
        after = rows[-1] if rows else None
        page = session.execute(search.federated(sources, "fox", limit=size, after=after)).all()
        rows += page
        if not page:
            break
    return rows


@pytest.mark.parametrize("entity", [Article, aliased(Article), Article.__table__])
def test_a_filter_by_other_tables_gives_each_row_once(session: Session, entity: Any) -> None:
    """
    However many tags an article has, it is one row, and takes the place of one candidate.
    """
    own = entity.c if isinstance(entity, sa.Table) else entity
    tagged = [Tag.article_id == own.id, Tag.name.in_(list("abc")), own.tenant < 5]
    wanted = {number for number in range(1, 31) if number % 10 < 5}
    sources = [Source(entity, filters=tagged, candidates=15)]
    rows = pages(session, sources, 4)
    assert len(rows) == len(wanted)
    assert {int(row.key) for row in rows} == wanted
    statement = search.hybrid(entity, text="fox", limit=15, candidates=15, filters=tagged)
    assert {row[0] for row in session.execute(statement.with_only_columns(own.id))} == wanted


def test_a_filter_of_another_alias_is_refused(session: Session) -> None:
    """
    It would hold for every row, or for none.
    """
    other = aliased(Article)
    with pytest.raises(DeclarationError, match="write conditions of the alias"):
        search.hybrid(other, text="fox", filters=[Article.tenant == 3])
    with pytest.raises(DeclarationError, match="nothing ties those to it"):
        search.federated([Source(other, filters=[Article.tenant == 3])], "fox")


def test_criteria_of_the_session_hold(session: Session) -> None:
    """
    What a session adds to every statement of a class bounds all candidates.
    """

    def within(state: ORMExecuteState) -> None:
        if not state.is_orm_statement:
            return
        state.statement = state.statement.options(
            with_loader_criteria(Article, Article.tenant == 3, include_aliases=True)
        )

    event.listen(session, "do_orm_execute", within)
    wanted = {3, 13, 23, 33}
    mixed = [Source(Article), Source(NOTE)]
    for sources in (mixed, mixed[::-1]):
        rows = session.execute(search.federated(sources, "fox", limit=9)).all()
        assert {int(row.key) for row in rows} == wanted
    for entity in (Article, aliased(Article)):
        sources = [Source(entity, candidates=4)]
        rows = session.execute(search.federated(sources, "fox", limit=9)).all()
        assert {int(row.key) for row in rows} == wanted
        fused = session.scalars(search.hybrid(entity, text="fox", limit=4, candidates=4))
        assert {each.id for each in fused} == wanted


def test_pages_survive_any_number_of_digits(session: Session) -> None:
    """
    With extra_float_digits = 0 ranks are sent with 15 digits; the next page begins there.
    """
    session.execute(sa.text("SET LOCAL extra_float_digits = 0"))
    sources = [Source(Article, weight=0.37), Source(aliased(Article), name="again", weight=0.91)]
    rows = pages(session, sources, 3)
    assert len(rows) == len({(row.source, row.key) for row in rows}) == 80


def test_a_key_may_be_a_number(session: Session) -> None:
    """
    Where a page begins can be told by the key itself.
    """
    rows = session.execute(search.federated([Source(Article)], "fox", limit=3)).all()
    after: Any = After(rows[0].rank, "article", int(rows[0].key))
    rest = session.execute(search.federated([Source(Article)], "fox", limit=2, after=after)).all()
    assert rest == rows[1:]


def test_a_class_of_several_tables_is_refused() -> None:
    """
    The error names the class and a way to ask for its rows.
    """
    with pytest.raises(DeclarationError, match=r"Report.*filters="):
        search.federated([Source(Report)], "fox")
    with pytest.raises(DeclarationError, match=r"Report.*filters="):
        search.hybrid(Report, text="fox")
