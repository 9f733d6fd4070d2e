"""
The how-to pages of search, block by block.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.features.embeddings import HashingEmbedder
from tests.docs.running import host, python_of, run, sql_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = """
class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
"""
TWO = """
class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    slug: Mapped[str | None]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")

class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    active: Mapped[bool]
    search: Mapped[TSVector] = SearchVector({"name": "A"}, config="simple")
"""
BOTH = """
class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    published: Mapped[bool]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")
    embedding: Mapped[Vector | None] = Embedding(64)
"""
DATED = """
class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    written: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")
"""
LANGUAGES = """
class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(default="")
    language: Mapped[str | None]
"""


@pytest.fixture
def names(engine: sa.Engine) -> Iterator[dict[str, Any]]:
    """
    What a host has imported, and a session.
    """
    with Session(engine) as session:
        yield host(engine=engine, session=session)


def stored(names: dict[str, Any], *rows: Any) -> None:
    """
    Make the tables, and put rows into them.
    """
    names["Base"].metadata.create_all(names["engine"])
    names["session"].add_all(rows)
    names["session"].commit()


def member(block: str) -> str:
    """
    The block as the last line of a class.
    """
    return f"{LANGUAGES}    {block.replace(chr(10), chr(10) + '    ')}"


def test_search_your_models(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    The model with its related tags, a page of results with headlines, and the backfill.
    """
    model, page, _, _, backfill = python_of("how-to/search-your-models")
    run(model, names)
    run(TAG, names)
    article, tag = names["Article"], names["Tag"]
    stored(names, article(id=1, title="The quick fox", body="runs", content={"a": "far away"}))
    stored(names, tag(article_id=1, name="animals"))
    for words in ("quick", "animals", "away"):
        run(page, names | {"words": words})
        assert capsys.readouterr().out.endswith(" The quick fox\n")
    run(page, names | {"words": "slow"})
    assert capsys.readouterr().out == ""
    run(backfill, names)
    assert "seen=1," in capsys.readouterr().out


def test_newer_rows_first(names: dict[str, Any]) -> None:
    """
    What is old counts less: the better match of three years ago comes after that of today.
    """
    run(DATED, names)
    then = {years: datetime.now(UTC) - timedelta(days=365 * years) for years in (0, 3)}
    stored(
        names,
        names["Article"](title="fox fox", written=then[3]),
        names["Article"](title="fox", written=then[0]),
        names["Article"](title="fox, and a dog", written=then[3]),
    )
    names["words"] = "fox"
    run(python_of("how-to/search-your-models")[2], names)
    found = [row.title for row in names["session"].execute(names["newer_first"])]
    assert found == ["fox", "fox fox", "fox, and a dog"]


def test_what_candidates_are_worth(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    All of it where few rows match; a part where the first candidates are not the best.
    """
    run(TWO, names)
    article = names["Article"]
    stored(names, *(article(title="fox and more") for _ in range(3)), article(title="fox fox fox"))
    [block] = python_of("explanation/relevance")
    run(block, names | {"words": "fox"})
    assert capsys.readouterr().out == "1.0\n"
    run(block.replace("worth(1000)", "worth(3)"), names | {"words": "fox"})
    assert 0 < float(capsys.readouterr().out) < 1


def test_several_languages(names: dict[str, Any]) -> None:
    """
    A row is read by the rules of its language, and so is a query that names one.
    """
    run(member(python_of("how-to/search-your-models")[3]), names)
    article, search = names["Article"], names["search"]
    stored(
        names, article(title="Die Häuser", language="de"), article(title="Houses", language="en")
    )
    for words, language, title in (("Haus", "de", "Die Häuser"), ("house", "en", "Houses")):
        matching = search.match(article.search, words, language=language)
        found = names["session"].scalars(sa.select(article.title).where(matching)).all()
        assert found == [title]


def test_search_several_models(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Both tables answer, in one list, and the next page is empty.
    """
    run(TWO, names)
    people = [names["Person"](name="Ann", active=True), names["Person"](name="Ann", active=False)]
    articles = [names["Article"](title="Ann writes", slug=slug) for slug in ("ann", None)]
    stored(names, *articles, *people)
    (block,) = python_of("how-to/search-several-models")
    run(block, names)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["article", "article", "person"]
    urls = [line.partition("/articles/")[2].rstrip("'}") for line in lines if "article" in line]
    assert sorted(urls) == ["2", "ann"]
    run("print(session.execute(search.federated([search.Source(Article)], 'x')).all())", names)
    assert capsys.readouterr().out == "[]\n"


def test_correct_misspelt_queries(names: dict[str, Any]) -> None:
    """
    The vocabulary goes on typing, and corrects.
    """
    vector, roll_up, ask, *_ = python_of("how-to/correct-misspelt-queries")
    [size] = sql_of("how-to/correct-misspelt-queries")
    run(member(vector), names)
    stored(names, names["Article"](title="The quick brown fox"))
    assert names["session"].execute(sa.text(size)).one()[0] == 4
    names["session"].rollback()
    run(roll_up, names)
    run(ask, names)
    suggest, correct = ask.splitlines()
    run(f"ways = {suggest.split('  #')[0]}\nright = {correct.split('  #')[0]}", names)
    assert [row[0] for row in names["ways"]] == ["quick brown"]
    assert names["right"] == "quick fox"


@pytest.mark.needs("pg_trgm")
def test_names_that_are_merely_alike(names: dict[str, Any]) -> None:
    """
    Half of a name, misspelt, finds it by pg_trgm, which comes with the models.
    """
    *_, model, ask = python_of("how-to/correct-misspelt-queries")
    run(model, names)
    people = [names["Person"](name=name) for name in ("Jonathan Swift", "Mary Shelley")]
    stored(names, *people)
    run(ask, names)
    assert [each.name for each in names["people"]] == ["Jonathan Swift"]


@pytest.mark.needs("vector")
def test_search_by_words_and_meaning(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    One statement asks for both, under one filter.
    """
    run(BOTH, names)
    embedder = HashingEmbedder(64)
    titles = ["How to undo a commit", "How to bake bread"]
    vectors = embedder.embed(titles)
    rows = [
        names["Article"](title=title, published=True, embedding=vector)
        for title, vector in zip(titles, vectors, strict=True)
    ]
    stored(names, *rows)
    (block,) = python_of("how-to/search-by-words-and-meaning")
    run(block, names | {"embedder": embedder})
    assert capsys.readouterr().out.startswith("How to undo a commit ")
