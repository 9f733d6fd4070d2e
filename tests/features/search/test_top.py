from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    mapped_column,
    relationship,
)

from pgultra import declare, plan
from pgultra.features import search
from pgultra.features.search import SearchVector, TSVector
from pgultra.sql import dialect
from tests.features.search.tables import note_table

if TYPE_CHECKING:
    from collections.abc import Iterator


class Dead:
    """
    The facts of a soft-deletable table.
    """

    room = "test"

    def objects(self, table: sa.Table) -> list[Any]:
        """
        Nothing.
        """
        return []

    def facts(self, table: sa.Table) -> plan.Facts:
        """
        A row with a date is dead.
        """
        return plan.Facts(live=plan.Live("deleted_at"))


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str | None]
    deleted_at: Mapped[str | None]
    search: Mapped[TSVector] = SearchVector({"title": "A", "body": "B"}, config="english")


class Small(Base):
    __tablename__ = "small"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    deleted_at: Mapped[str | None]
    search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english", filter_live=True)


declare(Article, Dead())
declare(Small, Dead())


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    Thirty articles: each third has the word twice, ten are dead.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(
            Article(
                id=number,
                title=f"fox {number}",
                body="fox" if number % 3 == 0 else "dog",
                deleted_at="now" if number > 20 else None,
            )
            for number in range(1, 31)
        )
        session.commit()
        yield session


def test_best_first_and_live_only(session: Session) -> None:
    """
    By rank, then by key; deleted rows are left out unless the statement asks for them.
    """
    rows = session.execute(search.top(sa.select(Article), Article.search, "fox", 8)).all()
    assert [row.Article.id for row in rows] == [3, 6, 9, 12, 15, 18, 1, 2]
    assert rows[0].rank > rows[-1].rank
    everything = sa.select(Article.id).execution_options(**{"pgultra.deleted": "include"})
    assert len(session.execute(search.top(everything, Article.search, "fox", 99)).all()) == 30


def test_filters_columns_aliases_and_pages(session: Session) -> None:
    """
    The statement's filters hold, its columns come back, an alias works, pages do not overlap.
    """
    other = aliased(Article)
    statement = sa.select(other.title).where(other.id > 10).order_by(other.title)
    pages = [
        session.execute(search.top(statement, other.search, "fox", 4, offset=offset)).all()
        for offset in (0, 4, 8)
    ]
    assert [row.title for page in pages for row in page][:5] == [
        "fox 12", "fox 15", "fox 18", "fox 11", "fox 13",
    ]  # fmt: skip
    assert sum(map(len, pages)) == 10


def test_candidates_bound_what_is_ranked(session: Session) -> None:
    """
    Only so many matches are looked at; None looks at all.
    """
    few = search.top(Article, Article.search, "fox", 99, candidates=5)
    assert len(session.execute(few).all()) == 5
    everything = search.top(Article, Article.search, "fox", 99, candidates=None)
    assert len(session.execute(everything).all()) == 20


def test_headlines_are_computed_for_the_page_only(session: Session) -> None:
    """
    The plan ranks inside and marks words outside of the limit.
    """
    statement = search.top(
        sa.select(Article.id, search.headline(Article.search, "fox")), Article.search, "fox", 2
    ).compile(session.connection(), compile_kwargs={"literal_binds": True})
    lines = session.connection().exec_driver_sql(f"EXPLAIN (VERBOSE) {statement}").scalars().all()
    marked = [number for number, line in enumerate(lines) if "ts_headline" in line]
    limit = next(number for number, line in enumerate(lines) if "Limit" in line)
    assert len(marked) == 1
    assert marked[0] < limit


def test_a_partial_index_of_live_rows(session: Session) -> None:
    """
    filter_live=True makes the index partial, and queries of live rows use it.
    """
    connection = session.connection()
    assert list(plan.check(connection, Base.metadata)) == []
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    statement = search.top(Small, Small.search, "fox", 2).compile(
        connection, compile_kwargs={"literal_binds": True}
    )
    lines = connection.exec_driver_sql(f"EXPLAIN {statement}").scalars().all()
    assert "Bitmap Index Scan on small_search_gin" in "\n".join(lines)
    definition = sa.text("SELECT indexdef FROM pg_indexes WHERE indexname = 'small_search_gin'")
    assert str(connection.scalar(definition)).endswith("WHERE (deleted_at IS NULL)")


def test_the_newest_are_ranked_if_asked_for(session: Session) -> None:
    """
    With newest=True the candidates are the rows with the last keys.
    """
    rows = session.execute(
        search.top(sa.select(Article.id), Article.search, "fox", 99, candidates=5, newest=True)
    ).all()
    assert {row.id for row in rows} == {16, 17, 18, 19, 20}


def test_a_large_table_gives_the_same_candidates_each_time(connection: sa.Connection) -> None:
    """
    PostgreSQL begins a scan of a large table where the last one ended; top does not.
    """
    buffers = connection.scalar(
        sa.text("SELECT setting::int FROM pg_settings WHERE name = 'shared_buffers'")
    )
    assert buffers is not None
    metadata = sa.MetaData()
    wide = sa.Table(
        "wide",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("filling", sa.Text),
        sa.Column("search", search.TSVectorType({"title": "A"}, index=False)),
    )
    metadata.create_all(connection)
    connection.exec_driver_sql("ALTER TABLE wide ALTER filling SET STORAGE PLAIN")
    connection.exec_driver_sql(
        "INSERT INTO wide (id, title, filling) SELECT n, 'fox', repeat('x', 7000) "
        f"FROM generate_series(1, {buffers // 4 + 500}) AS n"
    )
    first = sa.select(wide.c.id).where(wide.c.title == "fox").limit(300)
    seen = [set(connection.scalars(first)) for _ in range(2)]
    assert seen[0] != seen[1]  # this is what PostgreSQL does by itself
    statement = search.top(sa.select(wide.c.id), wide.c.search, "fox", 300, candidates=300)
    for _ in range(2):
        assert set(connection.scalars(statement)) == set(range(1, 301))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("to be or not to be", {101, 102}),
        ("The WHO", {103}),
        ("whose", set()),
        ("the", {103, 104}),
        ("o", set()),
        ("!!!", set()),
        ("to fox", {105}),
    ],
)
def test_stop_words_alone_are_found_as_they_stand(
    session: Session, query: str, found: set[int]
) -> None:
    """
    The very words, side by side, in the parts of highest weight; rank 0 says so.
    """
    session.execute(sa.delete(Article))
    titles = ("To be -- or not to be", "to BE or\nnot to be?", "Live: the Who", "The end", "a fox")
    session.add_all(
        Article(id=number, title=title, body="the who") for number, title in enumerate(titles, 101)
    )
    session.flush()
    rows = session.execute(search.top(sa.select(Article.id), Article.search, query)).all()
    assert {row.id for row in rows} == found
    assert all((row.rank == 0) == (query != "to fox") for row in rows)
    none = search.top(sa.select(Article.id), Article.search, query, fallback=False)
    assert {row.id for row in session.execute(none)} == (found if query == "to fox" else set())


def test_the_fallback_costs_other_queries_nothing(session: Session) -> None:
    """
    A query with words left is planned as if there were no fallback: by the GIN index alone.
    """
    connection = session.connection()
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    statement = search.top(sa.select(Article.id), Article.search, "fox").compile(
        connection, compile_kwargs={"literal_binds": True}
    )
    lines = "".join(connection.exec_driver_sql(f"EXPLAIN {statement}").scalars())
    assert "Bitmap Index Scan on article_search_gin" in lines
    assert "~*" not in lines


def test_a_trigram_index_serves_the_fallback(session: Session) -> None:
    """
    Where pg_trgm is there, an index on the title finds the words.
    """
    connection = session.connection()
    available = "SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if connection.exec_driver_sql(available).first() is None:
        pytest.skip("this server has no pg_trgm")
    connection.exec_driver_sql("CREATE EXTENSION pg_trgm")
    connection.exec_driver_sql("CREATE INDEX t ON article USING gin (title gin_trgm_ops)")
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    statement = search.top(sa.select(Article.id), Article.search, "to be or not").compile(
        connection, compile_kwargs={"literal_binds": True}
    )
    lines = "".join(connection.exec_driver_sql(f"EXPLAIN {statement}").scalars())
    assert "Bitmap Index Scan on t" in lines


def test_any_word_will_do_if_asked_for(session: Session) -> None:
    """
    With words="any" rows with more of the words come first, and nothing is an operator.
    """
    session.add(Article(id=50, title="a quick brown fox", body=None, deleted_at=None))
    session.flush()
    for query in ("quick fox -dog missing", 'brown "fox" quick-witted'):
        assert session.execute(search.top(Article, Article.search, query)).all() == []
        rows = session.execute(search.top(Article, Article.search, query, 99, words="any")).all()
        assert rows[0].Article.id == 50
        assert len(rows) == 21
    for query in ("the", "", "a & b", "' | '", "o'neill \\ fox:*"):
        session.execute(search.top(Article, Article.search, query, words="any")).all()


def test_rare_words_count_for_more(connection: sa.Connection) -> None:
    """
    Once the table is analysed, a row with the rare word of two comes before one with the other.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A", "body": "B"}, config="english")
    metadata.create_all(connection)
    rows = [{"id": n, "title": f"common {n}", "body": "common " * 3} for n in range(1, 400)]
    rows += [{"id": 1000, "title": "say", "body": "a quark it's"}]
    connection.execute(notes.insert(), rows)
    statement = search.top(
        sa.select(notes.c.id), notes.c.search, "common quark's", 3, words="any", candidates=None
    )
    before = connection.execute(statement).all()
    assert [row.id for row in before] == [1, 2, 3]
    connection.exec_driver_sql("ANALYZE note")
    after = connection.execute(statement).all()
    assert [row.id for row in after] == [1000, 1, 2]
    assert after[0].rank > after[1].rank > 0


@pytest.mark.parametrize(
    "query", ["it's \\ 'x' & | !", "", "the", "a:b c\\", "'", "ä ö ü -- $1 %s :a"]
)
def test_any_text_can_be_ranked_by_rarity(connection: sa.Connection, query: str) -> None:
    """
    Words become a tsquery again, whatever is in them; also in several languages.
    """
    metadata = sa.MetaData()
    notes = note_table(
        metadata,
        {"title": "A"},
        sa.Column("language", sa.Text),
        config={"de": "german", None: "simple"},
        language_column="language",
    )
    metadata.create_all(connection)
    connection.execute(notes.insert().values(id=1, title=query, language="de"))
    connection.exec_driver_sql("ANALYZE note")
    found = connection.execute(search.top(notes, notes.c.search, query, words="any")).all()
    assert len(found) <= 1
    for row in found:
        assert row.rank >= 0


def test_statistics_of_a_translated_schema(connection: sa.Connection) -> None:
    """
    The table that is asked, in the schema that it is translated to, tells what is rare.
    """
    metadata = sa.MetaData()
    notes = note_table(metadata, {"title": "A"})
    connection.exec_driver_sql("CREATE SCHEMA tenant")
    there = connection.execution_options(schema_translate_map={None: "tenant"})
    metadata.create_all(there)
    there.execute(notes.insert(), [{"id": n, "title": f"common {n}"} for n in range(300)])
    there.execute(notes.insert().values(id=1000, title="quark"))
    connection.exec_driver_sql("ANALYZE tenant.note")
    other = aliased(notes)
    statement = search.top(sa.select(other.c.id), other.c.search, "common quark", 2, words="any")
    assert [row.id for row in there.execute(statement)] == [1000, 0]
    there.execution_options(schema_translate_map=None)


def test_collections_are_loaded_with_a_page_of_it(connection: sa.Connection) -> None:
    """
    A joined collection under a LIMIT makes SQLAlchemy wrap the statement, order and all.
    """

    class Own(DeclarativeBase):
        pass

    class Note(Own):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        search: Mapped[TSVector] = SearchVector({"title": "A"}, config="english")
        remarks: Mapped[list[Remark]] = relationship()

    class Remark(Own):
        __tablename__ = "remark"
        id: Mapped[int] = mapped_column(primary_key=True)
        note_id: Mapped[int] = mapped_column(sa.ForeignKey(Note.id))

    Own.metadata.create_all(connection)
    with Session(connection) as session:
        for n in range(10):
            session.add(Note(id=n, title="fox " * n, remarks=[Remark(), Remark()]))
        session.flush()
        eager = sa.select(Note).options(joinedload(Note.remarks))
        page = search.top(eager, Note.search, "foxes", 8).limit(2).offset(1)
        found = session.execute(page).unique().all()
        assert [(note.id, len(note.remarks)) for note, _ in found] == [(8, 2), (7, 2)]
        inner = search.top(sa.select(Note), Note.search, "foxes", 3).subquery()
        again = sa.select(aliased(Note, inner), inner.c.rank).order_by(inner.c.rank)
        assert [note.id for note, _ in session.execute(again)] == [7, 8, 9]


def test_the_statement_is_as_public_methods_make_it() -> None:
    """
    What is put into a Select's private places is what its methods would put there.
    """
    chosen = sa.select(Article.id).where(Article.id > 3)
    made = search.top(chosen, Article.search, "fox", 3)
    condition, order = made._where_criteria[-1], made._order_by_clauses
    plain: Any = chosen.add_columns(made._raw_columns[-1]).where(condition).order_by(*order)
    assert str(made.compile(dialect=dialect())) == str(plain.compile(dialect=dialect()))
    assert made.selected_columns.keys() == plain.selected_columns.keys() == ["id", "rank"]
