from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column
from sqlalchemy.sql import visitors

from pgultra import DeclarationError, declare, plan
from pgultra.features import search
from pgultra.features.search import SearchVector, TSVector
from pgultra.plan.rankers import Ranker, source_of
from tests.features.search.tables import note_table

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class NearestNumber(Ranker):
    """
    A ranker of another room: rows by the distance of their number.
    """

    table: sa.Table

    def candidates(self, statement: sa.Select[Any], query: Any, limit: int) -> sa.Select[Any]:
        """
        The nearest.
        """
        source = source_of(statement, self.table)
        key = source.c.id
        distance = sa.func.abs(source.c.number - query)
        place = sa.func.row_number().over(order_by=[distance, key])
        inner = (
            statement.with_only_columns(key, place.label("rank")).order_by(distance, key)
        ).limit(limit)
        return sa.select(*inner.subquery().c)


class Numbers:
    """
    The declaration of that room.
    """

    room = "numbers"

    def objects(self, table: sa.Table) -> list[Any]:
        """
        Nothing.
        """
        return []

    def facts(self, table: sa.Table) -> plan.Facts:
        """
        The ranker.
        """
        ranker = NearestNumber(name="number", column="number", kind="vector", table=table)
        return plan.Facts(rankers=(ranker,), live=plan.Live("deleted_at"))


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    number: Mapped[int]
    deleted_at: Mapped[str | None]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")


class Plain(Base):
    __tablename__ = "plain"
    id: Mapped[int] = mapped_column(primary_key=True)


declare(Article, Numbers())


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    Articles with a word in every other, and their number.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(
            Article(
                id=number,
                title="fox " * (1 + number % 3) if number % 2 else "dog",
                number=number,
                deleted_at="now" if number == 5 else None,
            )
            for number in range(1, 21)
        )
        session.commit()
        yield session


def expected(session: Session, text: str, number: int, limit: int) -> list[tuple[int, float]]:
    """
    The same by hand, in Python.
    """
    best = session.execute(search.top(Article, Article.search, text, 100)).all()
    by_text = {row.Article.id: place for place, row in enumerate(best, start=1)}
    rows = session.scalars(sa.select(Article).where(Article.deleted_at.is_(None))).all()
    rows = sorted(rows, key=lambda row: (abs(row.number - number), row.id))
    by_number = {row.id: place for place, row in enumerate(rows[:100], start=1)}
    scores = {
        key: sum(1 / (10 + ranks[key]) for ranks in (by_text, by_number) if key in ranks)
        for key in {*by_text, *by_number}
    }
    best_first = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(key, pytest.approx(score)) for key, score in best_first[:limit]]  # type: ignore[misc]


def test_both_sides_are_fused_by_their_ranks(session: Session) -> None:
    """
    The order is that of reciprocal rank fusion; both ranks are in the row; the dead are out.
    """
    rows = session.execute(search.hybrid(Article, text="fox", vector=7, limit=6)).all()
    assert [(row.Article.id, row.score) for row in rows] == expected(session, "fox", 7, 6)
    assert {row.Article.id: row.vector_rank for row in rows}[7] == 1
    assert 5 not in [row.Article.id for row in rows]
    assert any(row.text_rank is None for row in session.execute(
        search.hybrid(Article, text="fox", vector=8, limit=20)).all())  # fmt: skip


def test_one_side_alone_filters_weights_and_aliases(session: Session) -> None:
    """
    A side can be left out or weigh nothing; filters hold on both.
    """
    only = session.execute(search.hybrid(Article, vector=4, limit=3)).all()
    assert [(row.Article.id, row.text_rank) for row in only] == [(4, None), (3, None), (2, None)]
    other = aliased(Article)
    rows = session.execute(
        search.hybrid(other, text="fox", vector=1, filters=[other.id > 10], weights=(0, 1))
    ).all()
    assert [row[0].id for row in rows][:2] == [11, 12]
    table = Article.__table__
    ids = session.execute(search.hybrid(table, text="fox", limit=2)).all()
    assert len(ids) == 2


def test_smoothing(session: Session) -> None:
    """
    With much of it, rows that both sides found win over the first of one side.
    """
    little, much = (
        session.execute(
            search.hybrid(Article, text="fox", vector=7, limit=3, smoothing=smoothing)
        ).all()
        for smoothing in (0, 1000)
    )
    assert little[0].score > 1
    assert much[0].score == pytest.approx(
        1 / (1000 + much[0].text_rank) + 1 / (1000 + much[0].vector_rank)
    )
    with pytest.raises(ValueError, match="0 or more"):
        search.hybrid(Article, text="fox", smoothing=-1)


def test_errors_say_what_is_missing() -> None:
    """
    No side at all, no ranker, or nothing that could be searched.
    """
    with pytest.raises(ValueError, match="text="):
        search.hybrid(Article)
    with pytest.raises(DeclarationError, match="no SearchVector"):
        search.hybrid(Plain, text="fox")
    with pytest.raises(DeclarationError, match="mapped class"):
        search.hybrid("article", text="fox")  # type: ignore[arg-type]


def test_rows_with_all_words_come_before_those_with_some(connection: sa.Connection) -> None:
    """
    A question that few rows answer wholly still gets a ranked list by words.
    """
    metadata = sa.MetaData()
    note = note_table(metadata, {"title": "A"}, config="english")
    metadata.create_all(connection)
    titles = ("fox fox fox", "fox and dog", "dog", "cat", "fox", "lazy fox with a dog")
    rows = [{"id": number, "title": title} for number, title in enumerate(titles)]
    connection.execute(note.insert(), rows)
    found = connection.execute(search.hybrid(note, text="dog fox", limit=10)).all()
    assert [row.id for row in found] == [1, 5, 0, 2, 4]
    assert [row.text_rank for row in found] == [1, 2, 3, 4, 5]
    few = connection.execute(search.hybrid(note, text="dog fox", limit=2, candidates=2)).all()
    assert [row.id for row in few] == [1, 5]


def test_no_other_cte_of_a_statement_can_get_the_name_of_its_words() -> None:
    """
    SQLAlchemy 2.0 names a CTE by an id, so the object with that id has to live as long.
    """
    statement = search.hybrid(Article, text="fox")
    words = next(
        each
        for each in visitors.iterate(statement)
        if isinstance(each, sa.CTE) and each._prefixes  # AS MATERIALIZED
    )
    alive = {str(id(each)): each for each in gc.get_objects() if isinstance(each, sa.CTE)}
    named_by = next((alive[number] for number in alive if number in words.name), None)
    by_chance = sa.__version__ >= "2.1"  # where SQLAlchemy takes a random name
    assert by_chance or (named_by is not None and named_by.element is words.element)
