"""
What the texts of a vector depend on, and what changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT, INTERVAL, JSON, TSTZRANGE
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import DeclarationError, PgultraError, plan
from pgultra.features import search
from pgultra.features.encryption import Encrypted, KeyRing
from pgultra.features.search import Related, SearchVector, TSVector, TSVectorType
from pgultra.plan.collect import collect

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment

ELSEWHERE = """
SET LOCAL datestyle = 'German'; SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL bytea_output = 'escape';
SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL extra_float_digits = 0
"""


def notes(parts: object, *columns: sa.Column[Any], **options: object) -> sa.Table:
    return sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *columns,
        sa.Column("search", TSVectorType(parts, **options)),
    )


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (sa.Date(), "'2024-01-31'"),
        (sa.DateTime(), "'2024-01-31 12:00'"),
        (sa.DateTime(timezone=True), "'2024-01-31 12:00+00'"),
        (ARRAY(sa.Date()), "'{2024-01-31}'"),
        (TSTZRANGE(), "'[2024-01-31 12:00+00,]'"),
        (INTERVAL(), "'1 day 2 hours'"),
        (sa.Double(), "0.1::float8 + 0.2"),
        (sa.LargeBinary(), "'abc'"),
    ],
)
@pytest.mark.parametrize("way", ["column", "expression", "related"])
def test_the_settings_of_who_writes_mean_nothing(
    connection: sa.Connection, type_: Any, value: str, way: str
) -> None:
    """
    The same value gives the same words.
    """
    column = sa.Column("value", type_)
    parts: Any = {"column": "value", "expression": sa.cast(column, sa.Text), "related": None}[way]
    note = notes({parts if way != "related" else Related("more.value"): "A"}, column)
    sa.Table(
        "more",
        note.metadata,
        sa.Column("id", sa.ForeignKey(note.c.id), primary_key=True),
        sa.Column("value", type_),
    )
    note.metadata.create_all(connection)
    for number in (1, 2):
        text = f"INSERT INTO note VALUES ({number}, {value}); INSERT INTO more TABLE note"
        text = text.replace("TABLE note", f"SELECT id, value FROM note WHERE id = {number}")
        connection.exec_driver_sql(text)
        connection.exec_driver_sql(ELSEWHERE)
    one, other = connection.scalars(sa.select(note.c.search).order_by(note.c.id))
    assert one == other != ""
    assert search.backfill(connection, note.c.search).changed == 2
    assert set(connection.scalars(sa.select(note.c.search))) == {one}
    assert not plan.check(connection, note.metadata)


@pytest.mark.parametrize(
    ("type_", "old", "new", "words"),
    [
        (sa.Numeric(), "1.0", "1.00", "'1.00':1A"),
        (INTERVAL(), "'1 day'", "'24 hours'", "'00':2A,3A '24':1A"),
        (ARRAY(JSON()), "ARRAY['[1]']::json[]", "ARRAY['[2]']::json[]", "'2':1A"),
        (ARRAY(sa.Numeric()), "'{1.0}'", "'{1.00}'", "'1.00':1A"),
    ],
)
def test_equal_values_of_other_texts(
    connection: sa.Connection, type_: Any, old: str, new: str, words: str
) -> None:
    """
    What changes is the text, whatever the type's own equality says.
    """
    note = notes({"value": "A"}, sa.Column("value", type_), mode="trigger")
    note.metadata.create_all(connection)
    connection.exec_driver_sql(f"INSERT INTO note VALUES (1, {old})")
    connection.exec_driver_sql(f"UPDATE note SET value = {new}")
    assert connection.scalar(sa.select(note.c.search)) == words


@pytest.mark.needs("citext")
def test_a_language_in_other_letters(connection: sa.Connection) -> None:
    """
    To citext DE is de; a language it is only as it was declared.
    """
    connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS citext")
    note = notes(
        {"title": "A"},
        sa.Column("title", sa.Text),
        sa.Column("language", CITEXT),
        config={"de": "german", None: "simple"},
        language_column="language",
        mode="trigger",
    )
    note.metadata.create_all(connection)
    connection.execute(note.insert().values(id=1, title="Häuser", language="DE"))
    connection.execute(note.update().values(language="de"))
    assert connection.scalar(sa.select(note.c.search)) == "'haus':1A"


def articles(**options: Any) -> tuple[sa.Table, sa.Table]:
    metadata = sa.MetaData()
    article = sa.Table(
        "article",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.Text, unique=True),
        sa.Column("search", TSVectorType({Related("tag.name"): "A"})),
    )
    tag = sa.Table(
        "tag",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.ForeignKey(article.c.slug, **options)),
        sa.Column("name", sa.Text),
    )
    return article, tag


@pytest.mark.parametrize("then", ["SET NULL", "SET DEFAULT", "CASCADE"])
def test_a_key_that_changes(connection: sa.Connection, then: str) -> None:
    """
    Rows that do not follow are gone; those that do are found under the new key.
    """
    article, tag = articles(onupdate=then)
    article.metadata.create_all(connection)
    connection.execute(article.insert().values(id=1, slug="a"))
    connection.execute(tag.insert().values(id=1, slug="a", name="fox"))
    connection.execute(article.update().values(slug="b"))
    follows = connection.scalar(sa.select(tag.c.slug)) == "b"
    assert connection.scalar(sa.select(article.c.search)) == ("'fox':1A" if follows else "")


def test_keys_that_change_places(connection: sa.Connection) -> None:
    """
    The tags stay as they are, and belong to other rows.
    """
    article, tag = articles(deferrable=True, initially="deferred")
    article.metadata.create_all(connection)
    connection.execute(article.insert(), [{"id": 1, "slug": "a"}, {"id": 2, "slug": "b"}])
    connection.execute(tag.insert().values(id=1, slug="a", name="fox"))
    for number, slug in ((1, "c"), (2, "a"), (1, "b")):
        connection.execute(article.update().where(article.c.id == number).values(slug=slug))
    connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    found = connection.execute(sa.select(article.c.id, article.c.search).order_by(article.c.id))
    assert found.all() == [(1, ""), (2, "'fox':1A")]


def test_a_function_of_an_unknown_type(connection: sa.Connection) -> None:
    """
    What it gives has a text, though it is none.
    """
    title = sa.Column("title", sa.Text)
    note = notes({sa.func.string_to_array(title, "-"): "A"}, title)
    note.metadata.create_all(connection)
    connection.execute(note.insert(), [{"id": 1, "title": "fox-dog"}, {"id": 2, "title": None}])
    found = connection.scalars(sa.select(note.c.search).order_by(note.c.id)).all()
    assert found == ["'dog':2A 'fox':1A", ""]


@pytest.mark.parametrize("name", ["a%b", "a:b", ":b x"])
def test_names_that_cannot_be_generated(name: str) -> None:
    """
    They were taken for parameters, and the column for another.
    """
    note = notes({name: "A"}, sa.Column(name, sa.Text), mode="generated")
    with pytest.raises(DeclarationError, match=r"colon.*Leave mode= to 'auto'"):
        plan.declarations(note)[0].objects(note).__next__()  # type: ignore[attr-defined]


def test_a_backslash_before_a_colon(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    SQLAlchemy would take it away.
    """
    title = sa.Column("title", sa.Text)
    note = notes({sa.func.regexp_replace(title, "\\: \\.", "x"): "A"}, title)
    alembic_env.autogenerate(metadata=note.metadata)
    alembic_env.upgrade()
    with engine.begin() as connection:
        assert not plan.check(connection, note.metadata)
        connection.execute(note.insert().values(id=1, title="fox: .dog"))
        assert connection.scalar(sa.select(note.c.search)) == "'foxxdog':1A"


@pytest.mark.parametrize("mode", ["generated", "trigger"])
def test_objects_have_what_was_made_of_them(engine: sa.Engine, mode: Any) -> None:
    """
    A flush is enough, whoever makes it.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        search: Mapped[TSVector] = SearchVector({"title": "A"}, mode=mode)

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        note = Note(title="fox")
        session.add(note)
        session.flush()
        assert note.search == "'fox':1A"
        note.title = "dog"
        session.flush()
        assert note.search == "'dog':1A"


def test_rows_that_a_policy_hides(owner_engine: sa.Engine) -> None:
    """
    They would be left as they are, and nobody would be told.
    """
    note = notes({"title": "A"}, sa.Column("title", sa.Text), mode="trigger", vocabulary=True)
    note.metadata.create_all(owner_engine)
    with owner_engine.begin() as connection:
        connection.execute(note.insert(), [{"id": 1, "title": "fox"}, {"id": 2, "title": "dog"}])
        connection.exec_driver_sql(
            "ALTER TABLE note ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON note USING (id = 1)"
        )
        assert search.backfill(connection, note.c.search).seen == 2
        connection.exec_driver_sql("ALTER TABLE note FORCE ROW LEVEL SECURITY")
        assert search.roll_up(connection, note.c.search) == 2
    with owner_engine.connect() as connection:
        with pytest.raises(PgultraError, match=r"search\.backfill would pass over"):
            search.backfill(connection, note.c.search)
        with pytest.raises(PgultraError, match="roll_up"):
            search.roll_up(connection, note.c.search, anew=True)


@pytest.mark.parametrize(
    "part", ["secret", sa.func.lower(sa.Column("secret")), Related("note.secret")]
)
def test_a_part_that_is_secret(part: Any) -> None:
    """
    Its ciphertext was read, in which nobody finds anything.
    """
    ring = KeyRing("pii", {1: bytes(range(32))})
    note = notes(
        {part: "A"},
        sa.Column("secret", Encrypted(sa.Text, keys=ring)),
        sa.Column("parent", sa.ForeignKey("note.id")),
    )
    with pytest.raises(DeclarationError, match="note keeps secret the column 'secret'"):
        collect(note.metadata)
