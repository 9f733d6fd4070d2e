from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import JSONB

from pgultra import DeclarationError, plan
from pgultra.features import search
from tests.features.search.tables import note_table

TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=80),
    st.text('-"!&|():*<>\\\' \t\u00a0\u3000aor,.@/_', max_size=80),
    st.lists(st.sampled_from(["-", '"', "or", "not", "!", "(", " ", "a", "\u00a0", "-a", "é", "_"]))
    .map(" ".join),
    st.builds(lambda piece, times: piece * times, st.text('-"! a(|\u2003é', max_size=4),
              st.integers(1, 1500)),
)  # fmt: skip
ANY = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def notes(connection: sa.Connection) -> sa.Table:
    """
    Four notes.
    """
    metadata = sa.MetaData()
    table = note_table(metadata, {"title": "A", "body": "B"}, config="english")
    metadata.create_all(connection)
    rows = [
        ("The quick fox", "jumps over the lazy dog"),
        ("Theory of foxes", "a fox is <b>quick</b> & 'clever'"),
        ("Cats", None),
        (None, "dogs of theory, jumping"),
    ]
    for number, (title, body) in enumerate(rows, start=1):
        connection.execute(table.insert().values(id=number, title=title, body=body))
    return table


def found(
    connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]
) -> list[int]:
    """
    The numbers of the notes that fulfil a condition.
    """
    return list(connection.scalars(sa.select(table.c.id).where(condition).order_by(table.c.id)))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fox", [1, 2]),
        ("quick fox", [1, 2]),
        ("fox -lazy", [2]),
        ("cat or dog", [1, 3, 4]),
        ('"quick fox"', [1]),
        ("the", []),
        ("", []),
        ("fox and the", [1, 2]),
        ("--fox", [3, 4]),
    ],
)
def test_match(connection: sa.Connection, notes: sa.Table, query: str, expected: list[int]) -> None:
    """
    Words, alternatives, exclusions and phrases, as web search engines understand them.
    """
    assert found(connection, notes, search.match(notes.c.search, query)) == expected


@pytest.mark.slow
@ANY
@given(query=TEXTS)
def test_no_text_raises(connection: sa.Connection, notes: sa.Table, query: str) -> None:
    """
    Whatever a user types is a query: match, phrase, prefix, rank and headline take it.
    """
    vector = notes.c.search
    connection.execute(
        sa.select(
            search.match(vector, query),
            search.phrase(vector, query),
            search.prefix(vector, query),
            search.rank(vector, query),
            search.rank_cd(vector, query),
            search.understood(vector, query),
            search.headline(vector, query),
        )
    ).all()


@pytest.mark.slow
@ANY
@given(query=TEXTS)
@example(query="D\xa0:")
def test_no_expression_raises(connection: sa.Connection, notes: sa.Table, query: str) -> None:
    """
    The same holds for a query that is read from a column; it means the same.
    """
    given_text = sa.bindparam("q", query, sa.Text)
    for read in (search.match, search.phrase, search.prefix):
        one, other = (
            connection.scalar(sa.select(read(notes.c.search, each)).where(notes.c.id == 1))
            for each in (query, given_text)
        )
        assert one == other


class Tags(HTMLParser):
    """
    Collects what is markup.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"<{tag}{attrs or ''}>")

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data}")

    def handle_data(self, data: str) -> None:
        self.text += data


MARKUP = st.lists(
    st.one_of(
        st.sampled_from(
            ["<b>", "</b>", "<script>", "<?", "<!", "<!--", "-->", "&", "&lt;", "fox",
             "<img src=x ", "'", '"', ">", "<mark>", "</mark>", "\x01", "\x02", "\x03", "&#60;", "http://a.b/?<d>&e"]
        ),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9),
    ),
    max_size=30,
).map(lambda pieces: pieces)  # fmt: skip


@pytest.mark.slow
@ANY
@given(pieces=MARKUP, glue=st.sampled_from(["", " "]))
def test_headlines_hold_no_markup_but_ours(
    connection: sa.Connection, notes: sa.Table, pieces: list[str], glue: str
) -> None:
    """
    The text is escaped, whatever it is, and the marks around words are well formed.
    """
    text = glue.join(pieces)
    headline = search.headline(notes.c.search, "fox or script or b or lt or amp")
    with connection.begin_nested() as savepoint:
        connection.execute(notes.update().where(notes.c.id == 1).values(title=None, body=text))
        html = connection.scalar(sa.select(headline).where(notes.c.id == 1))
        savepoint.rollback()
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.found == ["<mark>", "</mark>"] * (len(tags.found) // 2)
    assert not re.search(r"[\x01-\x03]", html)


def test_headline_options(connection: sa.Connection, notes: sa.Table) -> None:
    """
    One part, other marks, unescaped, and a bounded look at the text.
    """
    vector = notes.c.search
    only = sa.select(search.headline(vector, "quick", of="body")).where(notes.c.id == 2)
    assert connection.scalar(only) == ("<mark>quick</mark>&lt;/b&gt; &amp; &#39;clever")
    raw = sa.select(
        search.headline(vector, "fox", of="title", start="[", stop="]", escape=False)
    ).where(notes.c.id == 1)
    assert connection.scalar(raw) == "quick [fox]"
    short = sa.select(search.headline(vector, "jumps", length=3)).where(notes.c.id == 1)
    assert "mark" not in str(connection.scalar(short))
    plain = sa.select(search.headline(notes.c.body, "lazy", config="english")).limit(1)
    assert "<mark>lazy</mark>" in str(connection.scalar(plain))
    with pytest.raises(DeclarationError, match="config="):
        search.headline(notes.c.body, "lazy")
    with pytest.raises(ValueError, match="less than"):
        search.headline(vector, "lazy", max_words=3)
    with pytest.raises(ValueError, match="control character"):
        search.headline(vector, "lazy", start="<b>\0")
    quoted = sa.select(search.headline(notes.c.body, "lazy", config="english", start="'%(a)s:b\\"))
    assert "'%(a)s:b\\lazy</mark>" in str(connection.scalar(quoted.limit(1)))


@pytest.mark.parametrize("type_", [JSONB, sa.JSON])
def test_headlines_of_json_are_its_strings(connection: sa.Connection, type_: type[Any]) -> None:
    """
    No keys, quotes or brackets, in the order of the value; and none where there is no string.
    """
    metadata = sa.MetaData()
    table = note_table(
        metadata, {"facts": "A", "title": "B"}, sa.Column("facts", type_), config="english"
    )
    metadata.create_all(connection)
    facts = {"a": ['a \\ "quick" fox', 7, {"b": "jumps\nover"}], "c": True, "d": "it's & done"}
    rows = [{"id": 1, "facts": facts, "title": "over"}, {"id": 2, "facts": [5], "title": "fox"}]
    connection.execute(table.insert(), [*rows, {"id": 3, "facts": None, "title": None}])
    headline = search.headline(table.c.search, "fox", escape=False, min_words=1)
    assert list(connection.scalars(sa.select(headline).order_by(table.c.id))) == [
        "quick\" <mark>fox</mark>\njumps\nover\nit's & done\nover",
        "<mark>fox</mark>",
        "\n",
    ]


def test_a_nul_character_is_a_clear_error(notes: sa.Table) -> None:
    """
    PostgreSQL has no such character; neither has it halves of surrogate pairs.
    """
    with pytest.raises(ValueError, match="NUL"):
        search.match(notes.c.search, "a\x00b")
    with pytest.raises(ValueError, match="Unicode"):
        search.match(notes.c.search, "\ud800")


def test_phrase_and_prefix(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Words side by side; and the last word as the beginning of one, stop words included.
    """
    vector = notes.c.search
    assert found(connection, notes, search.phrase(vector, "lazy dogs")) == [1]
    assert found(connection, notes, search.prefix(vector, "fo")) == [1, 2]
    assert found(connection, notes, search.prefix(vector, "dogs the")) == [4]
    assert found(connection, notes, search.prefix(vector, "quick jumping")) == [1]


def test_understood(connection: sa.Connection, notes: sa.Table) -> None:
    """
    NULL tells that a query holds stop words only.
    """
    ask = sa.select(
        search.understood(notes.c.search, "the of"), search.understood(notes.c.search, "Foxes -dog")
    )
    assert connection.execute(ask).one() == (None, "'fox' & !'dog'")


def test_rank(connection: sa.Connection, notes: sa.Table) -> None:
    """
    Weights and normalisation change the rank; wrong ones are refused.
    """
    vector = notes.c.search

    def of(rank: sa.ColumnElement[float]) -> float:
        return float(connection.scalar(sa.select(rank).where(notes.c.id == 1)) or 0)

    assert of(search.rank(vector, "fox")) == pytest.approx(0.6079, abs=1e-3)
    assert of(search.rank(vector, "fox", weights={"A": 0.1})) < 0.1
    assert of(search.rank(vector, "fox", normalization=32)) < of(search.rank(vector, "fox"))
    assert of(search.rank_cd(vector, "fox")) == 1.0
    with pytest.raises(ValueError, match="letters"):
        search.rank(vector, "fox", weights={"E": 1})
    with pytest.raises(ValueError, match="sum"):
        search.rank(vector, "fox", normalization=64)


def test_languages(connection: sa.Connection) -> None:
    """
    Each row is read in its language; a query in all that are declared, or in one.
    """
    metadata = sa.MetaData()
    notes = note_table(
        metadata,
        {"title": "A"},
        sa.Column("language", sa.Text),
        config={"de": "german", "en": "english", None: "simple"},
        language_column="language",
    )
    metadata.create_all(connection)
    for number, (title, language) in enumerate(
        [("Häuser", "de"), ("houses", "en"), ("houses", None)], start=1
    ):
        connection.execute(notes.insert().values(id=number, title=title, language=language))
    vector = notes.c.search
    assert found(connection, notes, search.match(vector, "haus")) == [1]
    assert found(connection, notes, search.match(vector, "house")) == [2]
    assert found(connection, notes, search.match(vector, "houses")) == [2, 3]
    assert found(connection, notes, search.match(vector, "houses", language="en")) == [2]
    heads = sa.select(search.headline(vector, "haus or house")).order_by(notes.c.id)
    assert connection.scalars(heads).all() == [
        "<mark>Häuser</mark>",
        "<mark>houses</mark>",
        "houses",
    ]


def test_the_index_serves(connection: sa.Connection, notes: sa.Table) -> None:
    """
    PostgreSQL folds the query into a constant and uses the GIN index.
    """
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    for condition in (
        search.match(notes.c.search, "fox"),
        search.phrase(notes.c.search, "fox"),
        search.prefix(notes.c.search, "fox"),
    ):
        statement = (
            sa.select(notes.c.id)
            .where(condition)
            .compile(connection, compile_kwargs={"literal_binds": True})
        )
        lines = connection.exec_driver_sql(f"EXPLAIN {statement}").scalars().all()
        assert "Bitmap Index Scan on note_search_gin" in "\n".join(lines)


def test_queries_need_no_objects(connection: sa.Connection) -> None:
    """
    A column that pgultra does not keep can be searched with config=.
    """
    column = sa.literal_column("to_tsvector('english', 'foxes')", sa.Text())
    assert connection.scalar(sa.select(search.match(column, "fox", config="english")))
    assert plan.collect(sa.MetaData()) == {}
