"""
Searches of roles that a policy holds for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import plan
from pgultra.features import search
from pgultra.features.search import SearchVector, TSVector
from pgultra.features.search.words import NEGATIONS
from tests.docs.running import python_of, run
from tests.features.search.test_queries import ANY, TEXTS

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "search-under-row-level-security.md"
POLICY = """
ALTER TABLE article ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON article USING (tenant = current_setting('app.tenant')::integer);
CREATE ROLE {role};
GRANT SELECT ON article TO {role};
SET LOCAL app.tenant = '1';
SET LOCAL enable_seqscan = off;
"""


@pytest.fixture
def base(connection: sa.Connection) -> Any:
    """
    Articles of two tenants, and a role that sees those of one.
    """

    class Base(DeclarativeBase):
        pass

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        tenant: Mapped[int]
        title: Mapped[str] = mapped_column(sa.Text)
        search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")

    host: dict[str, Any] = {"Base": Base}
    declared, asked = python_of("how-to/search-under-row-level-security")
    run(declared, host)
    Base.metadata.create_all(connection)
    assert list(plan.check(connection, Base.metadata)) == []
    rows = [{"id": n, "tenant": n % 2, "title": f"quick fox {n}"} for n in range(400)]
    connection.execute(sa.insert(Article), rows)
    connection.exec_driver_sql("ANALYZE article")
    return Article, asked


@pytest.fixture
def role(connection: sa.Connection, base: Any) -> str:
    """
    A role of this test alone.
    """
    name = f"reader_{connection.scalar(sa.text('SELECT current_database()'))}"[:63]
    quoted = f'"{name}"'
    connection.exec_driver_sql(POLICY.format(role=quoted))
    connection.exec_driver_sql(f"SET LOCAL ROLE {quoted}")
    return quoted


def plan_of(connection: sa.Connection, statement: Any) -> str:
    """
    The plan as text.
    """
    compiled = statement.compile(
        connection, compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars())


@pytest.mark.slow
def test_the_index_serves_its_owner_and_not_who_a_policy_holds_for(
    connection: sa.Connection, base: Any, role: str
) -> None:
    """
    What the docs say: right rows, and not by the index.
    """
    article, _ = base
    statement = sa.select(article.id).where(search.match(article.search, "quick"))
    assert "article_search_gin" not in plan_of(connection, statement)
    assert all(number % 2 for number in connection.scalars(statement))
    for way in (
        search.top(sa.select(article.id), article.search, "quick fox", 5),
        search.top(sa.select(article.id), article.search, "quick fox", 5, words="any"),
    ):
        assert [row.id for row in connection.execute(way)] == [1, 3, 5, 7, 9]
    connection.exec_driver_sql("RESET ROLE")
    assert "article_search_gin" in plan_of(connection, statement)


def test_the_function_of_the_how_to_searches_by_the_index(
    connection: sa.Connection, base: Any, role: str
) -> None:
    """
    It gives the tenant's rows, best first, takes any text, and reads the index.
    """
    _, asked = base
    scans = sa.text("SELECT pg_stat_get_xact_numscans('article_search_gin'::regclass)")
    before = connection.scalar(scans)
    with Session(connection) as session:
        host: dict[str, Any] = {"session": session, "select": sa.select, "func": sa.func}
        run(asked, host)
        found = host["rows"].all()
    assert len(found) == 20
    assert all(row.id % 2 for row in found)
    assert connection.scalar(scans) > before
    for text in ("-" * 900, "'", "a & ", ""):
        call = sa.select(sa.func.count()).select_from(sa.func.find_articles(text, 5))
        assert connection.scalar(call) == 0


@pytest.mark.slow
@settings(parent=ANY, max_examples=150)
@given(text=TEXTS)
def test_the_function_of_the_how_to_takes_any_text(
    connection: sa.Connection, base: Any, role: str, text: str
) -> None:
    """
    Whatever `match` takes, runs of negation over all kinds of spaces too.
    """
    connection.execute(sa.select(sa.func.find_articles(text, 5))).all()


def test_the_how_to_has_the_pattern_of_match() -> None:
    """
    Its spaces are written as escapes, and mean the same.
    """
    [pattern] = re.findall(r"runs CONSTANT text := '(.*)';", PAGE.read_text())
    spelt = re.sub(r"\\\\u(....)", lambda found: chr(int(found[1], 16)), pattern)
    assert spelt.replace("\\\\", "\\") == NEGATIONS
