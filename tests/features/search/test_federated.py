from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from pgultra import DeclarationError, declare
from pgultra.features import search
from pgultra.features.search import After, SearchVector, Source, TSVector
from tests.features.search.test_queries import ANY, TEXTS
from tests.features.search.test_top import Dead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    slug: Mapped[str | None]
    deleted_at: Mapped[str | None]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")


class Person(Base):
    __tablename__ = "person"
    country: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    search: Mapped[TSVector] = SearchVector({"name": "A"})


class Bare(Base):
    __tablename__ = "bare"
    id: Mapped[int] = mapped_column(primary_key=True)


declare(Article, Dead())
WORDS = ["fox", "fox fox", "fox dog", "dog"]


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    Articles and people.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        for number in range(24):
            title = WORDS[number % 4]
            dead = "now" if number == 3 else None
            session.add(Article(id=number, title=title, slug=f"s{number}", deleted_at=dead))
            session.add(Person(country="ab"[number % 2], number=number, name=WORDS[number % 3]))
        session.commit()
        yield session


def pages(session: Session, sources: list[Source], query: str, size: int) -> list[Any]:
    """
    All pages, one after the other.
    """
    rows: list[Any] = []
    after = None
    while True:
        page = session.execute(search.federated(sources, query, limit=size, after=after)).all()
        rows += page
        if len(page) < size:
            return rows
        after = After(page[-1].rank, page[-1].source, page[-1].key)


@pytest.mark.slow
@settings(parent=ANY, max_examples=60)
@given(
    size=st.integers(1, 30),
    query=st.sampled_from(["fox", "dog", "fox or dog", "the"]),
    weight=st.sampled_from([0.5, 1.0, 0.8]),
)
def test_pages_give_every_row_once(session: Session, size: int, query: str, weight: float) -> None:
    """
    Page by page is the same as all at once, in the same order.
    """
    sources = [Source(Article), Source(Person, weight=weight)]
    everything = session.execute(search.federated(sources, query, limit=999)).all()
    assert pages(session, sources, query, size) == everything
    assert len({(row.source, row.key) for row in everything}) == len(everything)
    matching = sum(
        session.scalar(
            sa.select(sa.func.count()).select_from(model).where(search.match(model.search, query))
        )
        or 0
        for model in (Article, Person)
    )
    dead = session.scalar(sa.select(search.match(Article.search, query)).where(Article.id == 3))
    assert len(everything) == matching - bool(dead)


def test_rows_are_typed(session: Session) -> None:
    """
    Each row says what it is, its key, its title and what else was asked for.
    """
    other = aliased(Article)
    statement = search.federated(
        [
            Source(other, title=other.title, extra={"url": "/a/" + other.slug}, limit=1),
            Source(Person, name="people", filters=[Person.country == "b"], weight=0.5, limit=2),
        ],
        "fox",
    )
    rows = session.execute(statement).all()
    assert [tuple(row)[:3] for row in rows] == [
        ("article", "0", "fox"),
        ("people", '["b", 3]', "fox"),
        ("people", '["b", 9]', "fox"),
    ]
    assert rows[0].extra == {"url": "/a/s0"}
    assert rows[1].extra is None
    assert rows[0].rank == pytest.approx(2 * rows[1].rank)


@pytest.mark.slow
@settings(parent=ANY, max_examples=150)
@given(query=TEXTS)
def test_no_text_raises(session: Session, query: str) -> None:
    """
    Whatever a user types can be searched everywhere.
    """
    session.execute(search.federated([Source(Article), Source(Person)], query)).all()


def test_the_query_is_read_when_it_is_planned(session: Session) -> None:
    """
    However many sources and rows, nothing is left to be read when the plan runs.
    """
    sources = [Source(Article), Source(Person), Source(Person, name="again")]
    statement = search.federated(sources, "fox").compile(
        session.connection(), compile_kwargs={"literal_binds": True}
    )
    lines = session.connection().exec_driver_sql(f"EXPLAIN (VERBOSE) {statement}").scalars().all()
    assert "'fox'''::tsquery" in "".join(lines)
    assert "websearch_to_tsquery" not in "".join(lines)


def test_errors_say_what_to_do(session: Session) -> None:
    """
    No name twice, a vector in each, a page of this search.
    """
    with pytest.raises(DeclarationError, match="different names"):
        search.federated([Source(Article), Source(Article)], "fox")
    with pytest.raises(DeclarationError, match="0 vectors"):
        search.federated([Source(Bare)], "fox")
    with pytest.raises(DeclarationError, match="mapped class"):
        search.federated([Source("article")], "fox")
    with pytest.raises(ValueError, match="no source"):
        search.federated([Source(Article)], "fox", after=After(0.1, "person", "1"))


def test_candidates_are_bounded(session: Session) -> None:
    """
    A source ranks so many matches: those stored first, or those with the last keys.
    """
    assert Source(Article).candidates == 1000
    for newest, keys in ((False, {"0", "1", "2"}), (True, {"20", "21", "22"})):
        sources = [Source(Article, candidates=3, newest=newest)]
        rows = session.execute(search.federated(sources, "fox")).all()
        assert {row.key for row in rows} == keys


def test_pages_of_bounded_sources_agree(session: Session) -> None:
    """
    Each page ranks the same candidates: together they are what one page gives.
    """
    sources = [Source(Article, candidates=7), Source(Person, candidates=5, newest=True)]
    everything = session.execute(search.federated(sources, "fox", limit=999)).all()
    assert len(everything) == 12
    assert pages(session, sources, "fox", 5) == everything


def test_stop_words_alone_are_found_as_they_stand(session: Session) -> None:
    """
    Where the configuration leaves nothing of a query, rows are found by its very words.
    """
    session.add(Article(id=99, title="To be, or not to be", slug=None))
    session.flush()
    rows = session.execute(
        search.federated([Source(Article), Source(Person)], "to be or not")
    ).all()
    assert [(row.source, row.key, row.rank) for row in rows] == [("article", "99", 0.0)]


async def test_pages_follow_each_other_on_asyncpg(async_engine: AsyncEngine) -> None:
    """
    Ranks, keys and names come back as they were given, whatever driver sends them.
    """
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        people = [{"country": "a", "number": n, "name": WORDS[n % 3]} for n in range(7)]
        await connection.execute(sa.insert(Person), people)
        await connection.execute(sa.insert(Article), [{"id": n, "title": "fox"} for n in range(4)])
        sources = [Source(Article), Source(Person, weight=0.8)]
        everything = (await connection.execute(search.federated(sources, "fox"))).all()
        found: list[Any] = []
        for _ in range(4):
            after = found[-1] if found else None
            page = search.federated(sources, "fox", limit=3, after=after)
            found += (await connection.execute(page)).all()
    assert len(everything) == 11
    assert found == everything
