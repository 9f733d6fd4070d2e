"""
The third search of a kind is made from a pattern: nothing may differ but the vector.
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Session, aliased, mapped_column, undefer
from sqlalchemy.sql.cache_key import HasCacheKey

from pgultra import DeclarationError, soft_delete
from pgultra.features.embeddings import Embedding, InvalidVector, VectorType, nearest
from pgultra.features.embeddings.pattern import KEPT, MOST, Pattern, Patterns
from pgultra.sql import dialect
from tests.features.embeddings.sample import BLOG, Article, Base
from tests.features.embeddings.test_nearest import table_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.database import Database

ORIGIN = [1.0, 0.0, 0.0]
AXES = ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1])
plain = table_for("l2", "half", dimensions=3)
other = aliased(Article)
FORMS: dict[str, tuple[Any, Any]] = {
    "a class": (Article, Article.embedding),
    "a select of a class": (sa.select(Article), Article.embedding),
    "columns": (sa.select(Article.id, Article.title), Article.in_half),
    "a filter": (sa.select(Article).where(Article.language == "en"), Article.in_bits),
    "a filter to be filled": (
        sa.select(Article.id).where(Article.language == sa.bindparam("language", "de")),
        Article.embedding,
    ),
    "an alias": (sa.select(other).where(other.id > 0), other.embedding),
    "a table": (plain, plain.c.embedding),
    "a select of a table": (sa.select(plain.c.id).where(plain.c.kind == 3), plain.c.embedding),
    "expressions": (
        sa.select(plain, plain.c.id + plain.c.kind + 1, sa.func.abs(plain.c.id), sa.text("1")),
        plain.c.embedding,
    ),
    "a sum": (sa.select(plain.c.id + plain.c.kind + plain.c.id, plain), plain.c.embedding),
    "two keys": (BLOG.Chunk, BLOG.Chunk.embedding),
    "with deleted": (soft_delete.with_deleted(sa.select(Article)), Article.embedding),
}


def fresh_key(statement: sa.Select[Any]) -> Any:
    """What SQLAlchemy makes of a statement that keeps nothing."""
    key = HasCacheKey._generate_cache_key(statement)
    assert key is not None
    return key


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The vectors that a pattern was used for."""
    used: list[Any] = []
    search = Pattern.search

    def counted(self: Pattern, vector: Any) -> Any:
        used.append(vector)
        return search(self, vector)

    monkeypatch.setattr(Pattern, "search", counted)
    return used


@pytest.mark.parametrize("form", FORMS)
def test_the_kept_key_is_the_one_that_sqlalchemy_makes(form: str, patterns: list[Any]) -> None:
    """For every form of search; and the parameters are those of the vector that was asked for."""
    searched, column = FORMS[form]
    made = [nearest(searched, column, vector, 4, effort=50) for vector in AXES]
    assert len(patterns) >= 3
    for statement in made:  # before one is compiled: that leaves its traces in a statement
        kept, fresh = statement._generate_cache_key(), fresh_key(statement)
        assert kept is not None
        assert kept.key == fresh.key
        assert all(a is b for a, b in zip(kept.bindparams, fresh.bindparams, strict=True))
        columns = statement._all_selected_columns
        expected = statement._generate()._all_selected_columns
        assert all(a is b for a, b in zip(columns, expected, strict=True))
    compiled = [statement.compile(dialect=dialect()) for statement in made]
    assert len({str(each) for each in compiled}) == 1
    for vector, each in zip(AXES, compiled, strict=True):
        assert column.type.packer()(vector) in list(each.params.values())


def test_what_is_made_of_a_search_has_a_key_of_its_own() -> None:
    """A condition, a limit, an option that comes later: nothing of the pattern's key is left."""
    query = sa.select(Article)
    for vector in AXES:
        made = nearest(query, Article.embedding, vector, 3)
    for more in (
        made.where(Article.id > 3),
        made.options(undefer(Article.body)),
        made.with_for_update(of=Article),
        sa.select(made.subquery()),
        sa.union_all(made, nearest(query, Article.embedding, ORIGIN, 3)),
    ):
        assert more._generate_cache_key() == fresh_key(more)
        assert more._generate_cache_key() != made._generate_cache_key()


def test_wrong_values_are_refused_after_right_ones_too() -> None:
    """True is no number of rows, though it is equal to 1; and a vector is looked at each time."""
    for _ in range(3):
        nearest(Article, Article.embedding, ORIGIN, 1, effort=10)
    for wrong in ({"k": True}, {"k": 1.0}, {"k": 1, "effort": "10"}, {"k": 1, "plan": ["auto"]}):
        with pytest.raises(DeclarationError):
            nearest(Article, Article.embedding, ORIGIN, **wrong)
    for vector in ([1, 2], [1, 2, float("nan")], [0, 0, 0], "nix", None):
        with pytest.raises(InvalidVector):
            nearest(Article, Article.embedding, vector, 1, effort=10)


def test_an_expression_is_never_taken_for_a_vector(patterns: list[Any]) -> None:
    """The vector of another row, or one that comes with the execution."""
    for _ in range(4):
        nearest(Article, Article.embedding, ORIGIN, 3)
    patterns.clear()
    of_one = sa.select(Article.embedding).where(Article.id == 1).scalar_subquery()
    assert "SELECT article.embedding" in str(nearest(Article, Article.embedding, of_one, 3))
    made = nearest(Article, Article.embedding, sa.bindparam("query"), 3)
    assert "query" in made.compile(dialect=dialect()).params
    assert not patterns


def test_options_of_a_select_are_looked_at_each_time(patterns: list[Any]) -> None:
    """Criteria may depend on what a variable is at that moment."""
    query = sa.select(Article).options(undefer(Article.body))
    for vector in AXES:
        nearest(query, Article.embedding, vector, 3)
    assert not patterns


def test_a_select_for_one_search_goes_with_its_last_use() -> None:
    """No circle is left for the garbage collector."""
    gc.disable()
    try:
        query = sa.select(Article).where(Article.id > 5)
        made = nearest(query, Article.embedding, ORIGIN, 3)
        gone = weakref.ref(query)
        del query, made
        assert gone() is None
    finally:
        gc.enable()


def test_copies_of_a_select_keep_what_is_theirs() -> None:
    """One that went through pickle, or was annotated, is not the select that it came from."""
    query = sa.select(plain.c.id).where(plain.c.kind == 3)
    for vector in AXES:
        nearest(query, plain.c.embedding, vector, 3)
    pickled = pickle.loads(pickle.dumps(query))
    annotated: Any = query._annotate({"mine": 1})
    for copy_ in (pickled, annotated, copy.copy(query), copy.deepcopy(query)):
        found = Patterns.of(copy_)
        assert found is not None
        assert found is not Patterns.of(query)
        assert not found.by_way
    kept = Patterns.of(query)
    assert kept is not None
    assert kept.by_way


def test_a_class_that_gets_a_column_is_looked_at_anew(patterns: list[Any]) -> None:
    """SQLAlchemy forgets what it kept, and so do we."""

    class Own(DeclarativeBase):
        pass

    class Note(Own):
        __tablename__ = "note"
        id = mapped_column(sa.Integer, primary_key=True)
        embedding = Embedding(3)

    for vector in AXES:
        nearest(Note, Note.embedding, vector, 3)
    assert len(patterns) == 3
    assert KEPT in Note.__mapper__.__dict__
    Note.title = mapped_column(sa.Text)
    made = nearest(Note, Note.embedding, ORIGIN, 3)
    assert len(patterns) == 3
    assert "title" in made.selected_columns


def test_a_table_that_gets_a_column_is_looked_at_anew() -> None:
    """A result tells its columns by their place."""
    table = table_for("l2", "single", dimensions=3)
    for vector in AXES:
        nearest(table, table.c.embedding, vector, 3)
    table.append_column(sa.Column("title", sa.Text))
    made = nearest(table, table.c.embedding, ORIGIN, 3)
    assert made.selected_columns.keys()[-2:] == ["title", "distance"]


@pytest.mark.parametrize("form", [lambda table: table, sa.select], ids=["table", "select"])
def test_a_table_that_gets_another_key_is_looked_at_anew(form: Callable[[Any], Any]) -> None:
    """Rows are joined by the whole of the primary key, or the row of another tenant came along."""
    table = table_for("l2", "single", dimensions=3)
    searched = form(table)
    for vector in AXES:
        nearest(searched, table.c.embedding, vector, 3)
    table.append_column(sa.Column("tenant", sa.Integer, primary_key=True))
    made = nearest(searched, table.c.embedding, ORIGIN, 3)
    assert "l2_single.tenant = pgultra_found.key_1" in str(made.compile(dialect=dialect()))
    table.c.embedding.type = VectorType(2)
    nearest(searched, table.c.embedding, [1, 2], 3)


def test_a_number_of_rows_that_is_ever_another_fills_no_memory() -> None:
    """What is kept beside a class is bounded."""
    for k in range(1, 3 * MOST):
        nearest(Article, Article.in_half, ORIGIN, k)
    kept = Article.__mapper__.__dict__[KEPT].by_way
    assert [way.k for _, way in kept] == list(range(2 * MOST, 3 * MOST))


def test_threads_may_share_a_select() -> None:
    """Each gets the statement of its own vector."""
    query = sa.select(Article.id)
    wrong: list[Any] = []

    def search(number: int) -> None:
        for turn in range(1, 300):
            vector = [number, turn, 1]
            made = nearest(query, Article.embedding, vector, 1 + turn % 3)
            [bound] = [each.value for each in made._generate_cache_key().bindparams]  # type: ignore[union-attr]  # it is cacheable
            if bound != Article.embedding.type.packer()(vector):
                wrong.append(vector)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def filled(session: Session) -> None:
    """Three articles, one along each axis."""
    session.add_all(
        Article(id=number, title="t", language="en", embedding=axis, in_half=axis, in_bits=axis)
        for number, axis in enumerate(AXES[:3], 1)
    )
    session.commit()


ONE = sa.select(Article)
SEARCHED: dict[str, Callable[[], Any]] = {
    "a class": lambda: Article,
    "one select": lambda: ONE,
    "a new select": lambda: sa.select(Article),
}


@pytest.mark.needs("vector")
@pytest.mark.parametrize("searched", SEARCHED)
@pytest.mark.parametrize("plan", ["auto", "index", "exact"])
def test_each_vector_finds_its_own(database: Database, searched: str, plan: Any) -> None:
    """Also where a pattern's statement is the first that an engine ever compiles."""
    engine = database.engine()
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        filled(session)
    for column in (Article.embedding, Article.in_half, Article.in_bits):
        with Session(database.engine()) as session:  # an engine with an empty cache of statements
            for number, axis in [*enumerate(AXES[:3], 1)] * 3:
                made = nearest(SEARCHED[searched](), column, axis, 1, plan=plan)
                [(article, away)] = session.execute(made)
                assert (article.id, away) == (number, 0)


@pytest.mark.needs("vector")
@pytest.mark.parametrize("form", ["table", "columns"])
def test_a_row_knows_its_columns(engine: sa.Engine, form: str) -> None:
    """By name, by the table's column, and by the column of this very statement."""
    table = Article.__table__
    searched = {"table": table, "columns": sa.select(table.c.title, table.c.id)}[form]
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        filled(session)
        for number, axis in [*enumerate(AXES[:3], 1)] * 3:
            made = nearest(searched, table.c.embedding, axis, 2)
            row, far = session.connection().execute(made)
            distance = made.selected_columns.distance
            assert (row.id, row._mapping[table.c.id], row._mapping[distance]) == (number, number, 0)
            assert (far.title, far._mapping[table.c.title], far.distance) == ("t", "t", 1)


@pytest.mark.needs("vector")
async def test_each_vector_finds_its_own_asynchronously(
    engine: sa.Engine, async_engine: AsyncEngine
) -> None:
    """asyncpg has its own way to send a vector."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        filled(session)
    async with AsyncSession(async_engine) as session:
        for number, axis in [*enumerate(AXES[:3], 1)] * 3:
            made = nearest(Article, Article.embedding, axis, 1)
            assert [row[0].id for row in await session.execute(made)] == [number]
