"""
``top`` within other queries, with locks, and on parts of other types.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

from pgultra import DeclarationError
from pgultra.features import search
from pgultra.features.search import SearchVector, Source, TSVector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Words(sa.TypeDecorator[str]):
    """
    A text of the host's own making.
    """

    impl = sa.Text
    cache_ok = True


class Colour(enum.Enum):
    """
    What a thing looks like.
    """

    RED = "red"
    WHO = "who"


class Base(DeclarativeBase):
    """
    The models of this module.
    """


class Author(Base):
    """
    Who writes.
    """

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)


class Article(Base):
    """
    What is written.
    """

    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey(Author.id))
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")
    author: Mapped[Author] = relationship()


class Thing(Base):
    """
    Something with a colour and a name.
    """

    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    colour: Mapped[Colour]
    name: Mapped[str | None] = mapped_column(Words)
    search: Mapped[TSVector] = SearchVector({"colour": "A", "name": "A"}, config="english")


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """
    Thirty articles of three authors.
    """
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Author(id=number) for number in (1, 2, 3))
        session.flush()
        session.add_all(
            Article(id=number, title="fox " * (number % 4 + 1), author_id=number % 3 + 1)
            for number in range(1, 31)
        )
        session.commit()
        yield session


@pytest.mark.parametrize("words", ["all", "any"])
def test_the_best_of_each(session: Session, words: Any) -> None:
    """
    Within a LATERAL query the rows of the outer row alone are ranked.
    """
    own = sa.select(Article.id).where(Article.author_id == Author.id)
    best = search.top(own, Article.search, "fox", 2, words=words)
    each = best.lateral()
    order = (Author.id, each.c.rank.desc(), each.c.id)
    rows = session.execute(sa.select(Author.id, each.c.id).join(each, sa.true()).order_by(*order))
    assert [tuple(row) for row in rows] == [(1, 3), (1, 15), (2, 7), (2, 19), (3, 11), (3, 23)]
    one = best.with_only_columns(Article.id).limit(1).scalar_subquery()
    firsts = session.execute(sa.select(Author.id, one).order_by(Author.id))
    assert [tuple(row) for row in firsts] == [(1, 3), (2, 7), (3, 11)]
    joined = sa.select(Article.id).join(Author).where(Author.id == 2)
    page = search.top(joined, Article.search, "fox", 2, words=words).subquery()
    beside = sa.select(Author.id, page.c.id).join(page, sa.true())
    assert {tuple(row) for row in session.execute(beside)} == {
        (author, article) for author in (1, 2, 3) for article in (7, 19)
    }


def test_the_best_of_the_same_table(session: Session) -> None:
    """
    ``IN`` and ``DELETE`` mean the best rows of the table, and not every row as its own best.
    """
    best = search.top(sa.select(Article.id), Article.search, "fox", 2)
    ids = best.with_only_columns(Article.id)
    assert set(session.scalars(sa.select(Article.id).where(Article.id.in_(ids)))) == {3, 7}
    changed = sa.update(Article).where(Article.id.in_(ids)).values(author_id=3)
    assert session.execute(changed).rowcount == 2
    assert session.execute(sa.delete(Article).where(Article.id.in_(ids))).rowcount == 2
    assert set(session.scalars(ids)) == {11, 15}


def test_the_best_joined_to_their_own_table(session: Session) -> None:
    """
    As a subquery it ranks the table by itself; a LATERAL one behind a join sees the row around.
    """
    best = search.top(sa.select(Article.id), Article.search, "fox", 2).subquery()
    page = sa.select(Article.id).join(best, best.c.id == Article.id).order_by(Article.id)
    assert list(session.scalars(page)) == [3, 7]
    aside = sa.select(Article.id, best.c.id).outerjoin(best, sa.true()).where(Article.id == 1)
    assert {row[1] for row in session.execute(aside)} == {3, 7}
    other = aliased(Article)
    own = sa.select(Article.id).where(Article.author_id == Author.id)
    each = search.top(own, Article.search, "fox", 1).lateral()
    around = sa.select(Author.id, each.c.id).join(other, other.author_id == Author.id)
    rows = session.execute(around.join(each, sa.true()).where(other.id <= 3).order_by(Author.id))
    assert [tuple(row) for row in rows] == [(1, 3), (2, 7), (3, 11)]


def test_what_cannot_be_locked_is_passed_over(session: Session) -> None:
    """
    Functions, VALUES, a CTE, and the row around a LATERAL query.
    """
    chosen = sa.select(sa.literal(3).label("id")).cte("chosen")
    numbers = sa.func.generate_series(1, 5).table_valued("id").render_derived()
    values = sa.values(sa.column("id", sa.Integer), name="given").data([(3,), (7,)])
    for beside, found in ((chosen, [3]), (numbers, [3, 2]), (values, [3, 7])):
        locked = sa.select(Article.id).join(beside, beside.c.id == Article.id).with_for_update()
        assert list(session.scalars(search.top(locked, Article.search, "fox", 2))) == found
    own = sa.select(Article.id).where(Article.author_id == Author.id).with_for_update()
    each = search.top(own, Article.search, "fox", 1).lateral()
    rows = session.execute(
        sa.select(Author.id, each.c.id).join(each, sa.true()).order_by(Author.id)
    )
    assert [tuple(row) for row in rows] == [(1, 3), (2, 7), (3, 11)]


def test_only_the_page_is_locked(engine: sa.Engine, session: Session) -> None:
    """
    FOR UPDATE takes the rows that are returned, and not all that were ranked.
    """
    chosen = sa.select(Article).join(Article.author).with_for_update(key_share=True)
    best = search.top(chosen, Article.search, "fox", 2)
    assert [article.id for article in session.scalars(best)] == [3, 7]
    with engine.connect() as other:
        free = sa.select(Article.id).with_for_update(skip_locked=True)
        assert set(other.scalars(free)) == {*range(1, 31)} - {3, 7}
    session.rollback()
    of = search.top(sa.select(Article).with_for_update(of=Article), Article.search, "fox", 2)
    assert [article.id for article in session.scalars(of)] == [3, 7]


def test_texts_of_enums_and_decorators(session: Session) -> None:
    """
    They are searched, and their words found as they stand.
    """
    things = [(1, Colour.RED, "fox"), (2, Colour.WHO, None), (3, Colour.RED, "To be or not")]
    session.add_all(Thing(id=id_, colour=colour, name=name) for id_, colour, name in things)
    session.flush()
    for query, found in (("RED", [1, 3]), ("who", [2]), ("to BE", [3]), ("fox", [1])):
        best = search.top(sa.select(Thing.id), Thing.search, query)
        assert list(session.scalars(best)) == found
        assert [each.id for each in session.scalars(search.hybrid(Thing, text=query))] == found
        listed = session.execute(search.federated([Source(Thing)], query))
        assert sorted(int(row.key) for row in listed) == found


def test_an_unwanted_stop_word_finds_nothing(session: Session) -> None:
    """
    Who asks for no "the" is not given what has it.
    """
    session.add(Article(id=99, title="the who -- not the end", author_id=1))
    session.flush()

    def found(query: str) -> list[int]:
        return list(session.scalars(search.top(sa.select(Article.id), Article.search, query)))

    assert found("-the") == found("who -the") == found('"-the"') == []
    assert found('-"the"') == found('-"the who"') == []
    assert found("the who") == found("who -- not") == found("who - not") == [99]


def test_a_headline_needs_its_texts(session: Session) -> None:
    """
    A subquery that has the vector without its parts is refused, by their names.
    """
    bare = sa.select(Article.id, Article.search).subquery()
    with pytest.raises(DeclarationError, match="without 'title'"):
        search.headline(bare.c.search, "fox")
    whole = sa.select(Article.id, Article.search, Article.title).subquery()
    head = sa.select(search.headline(whole.c.search, "fox")).where(whole.c.id == 4)
    assert session.scalar(head) == "<mark>fox</mark>"


def test_a_weight_of_next_to_nothing(session: Session) -> None:
    """
    A weight that PostgreSQL's small numbers do not know is none.
    """
    ranks = (search.rank(Article.search, "fox", weights={"A": least}) for least in (1e-50, 0))
    assert session.execute(sa.select(*ranks)).first() == (0, 0)
