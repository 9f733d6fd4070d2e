"""
The how-to pages, followed to the letter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import plan

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
PRELUDE = """
from typing import Any
from sqlalchemy import ForeignKey, String, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from pgultra import SearchVector, TSVector, search


class Base(DeclarativeBase):
    pass


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
    name: Mapped[str]


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    active: Mapped[bool]
    search: Mapped[TSVector] = SearchVector({"name": "A"})
"""


def blocks(page: str) -> list[str]:
    """
    The Python of a page.
    """
    return re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


def run(code: str, host: dict[str, Any]) -> None:
    """
    Run code as the module of a host, without this module's annotations from the future.
    """
    exec(compile(code, "host", "exec", dont_inherit=True), host)


@pytest.fixture
def host(engine: sa.Engine) -> dict[str, Any]:
    """
    The module of a host that has read the first page, and filled its tables.
    """
    found: dict[str, Any] = {"__name__": "host", "engine": engine}
    run(PRELUDE, found)
    run(blocks("search-your-models.md")[0], found)
    metadata = found["Base"].metadata
    with engine.begin() as connection:
        metadata.create_all(connection)
        assert list(plan.check(connection, metadata)) == []
        connection.execute(
            sa.insert(found["Article"]),
            [
                {"id": 1, "title": "Ann's quick fox", "body": "brown", "content": {"k": "cow"}},
                {"id": 2, "title": "Lazy dog", "body": "quick <b>brown fox</b>", "content": None},
            ],
        )
        connection.execute(sa.insert(found["Tag"]).values(id=1, article_id=2, name="animal"))
        connection.execute(sa.insert(found["Person"]).values(id=1, name="Ann", active=True))
    return found


def test_search_your_models(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    The page's query prints what it found; its options are those that there are.
    """
    _, asked, _, languages, filled = blocks("search-your-models.md")
    with Session(host["engine"]) as session:
        for words, expected in (
            ('quick "brown fox" -cat', "Lazy dog"),
            ("animal", "Lazy dog"),
            ("cow", "Ann's quick fox"),
        ):
            run(asked, {**host, "session": session, "words": words})
            assert capsys.readouterr().out.rstrip().endswith(expected)
    with Session(host["engine"]) as session:
        run(filled, {**host, "session": session})
    model = "class Note(Base):\n    __tablename__ = 'note'\n    id: Mapped[int] = mapped_column("
    model += "primary_key=True)\n    title: Mapped[str]\n    language: Mapped[str]\n"
    run(model + "".join(f"    {line}\n" for line in languages.splitlines()), host)
    note = host["Note"].__table__
    host["Base"].metadata.create_all(host["engine"])
    assert note.c.search.type.configuration.names == ("simple", "german", "english")


def test_search_several_models(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Rows of both models, and a page after the last.
    """
    (asked,) = blocks("search-several-models.md")
    asked = asked.replace("Article.slug", "Article.title")
    with Session(host["engine"]) as session:
        run(asked, {**host, "session": session})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["person", "article"]
    assert "/articles/Ann's quick fox" in printed[1]


def test_correct_misspelt_queries(engine: sa.Engine) -> None:
    """
    The vocabulary of the page answers as the page says.
    """
    host: dict[str, Any] = {"__name__": "host", "engine": engine}
    run(PRELUDE.split("class Tag")[0], host)
    declared, rolled, asked, *_ = blocks("correct-misspelt-queries.md")
    model = "class Article(Base):\n    __tablename__ = 'text'\n    id: Mapped[int] = mapped_column("
    model += "primary_key=True)\n    title: Mapped[str]\n    body: Mapped[str]\n"
    run(model + "".join(f"    {line}\n" for line in declared.splitlines()), host)
    host["Base"].metadata.create_all(engine)
    with engine.begin() as connection:
        row = {"id": 1, "title": "quick brown fox", "body": ""}
        connection.execute(sa.insert(host["Article"]).values(row))
    run(rolled, host)
    lines = asked.splitlines()
    with Session(engine) as session:
        found = [eval(line, {**host, "session": session}) for line in lines]
    assert found[0][0].suggestion == "quick brown"
    assert found[1] == "quick fox"
