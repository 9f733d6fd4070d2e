from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, Session, mapped_column

from pgultra import declare, plan
from pgultra.features import search
from pgultra.features.search import Part, SearchVector, TSVector, TSVectorType
from tests.features.search import sample
from tests.features.search.tables import note_table as table


def test_a_declarative_class(engine: sa.Engine) -> None:
    """
    The factory on a plain class; the column is not loaded unless asked for.
    """

    class Base(DeclarativeBase):
        pass

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        headline: Mapped[str] = mapped_column("Head Line", sa.Text)
        search: Mapped[TSVector] = SearchVector({"headline": "A"}, config="english")

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Article(headline="Jumping foxes"))
        session.commit()
        article = session.scalars(sa.select(Article)).one()
        assert "search" not in article.__dict__
        assert article.search.words == ("fox", "jump")


def test_a_dataclass(engine: sa.Engine) -> None:
    """
    The type in ``mapped_column(..., init=False)`` stays out of ``__init__``.
    """

    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Article(Base):
        __tablename__ = "article"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        search: Mapped[TSVector] = mapped_column(TSVectorType({"title": "A"}), init=False)

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Article(id=1, title="Foxes"))
        session.commit()
        assert session.scalars(sa.select(Article.search)).one() == "'foxes':1A"


def test_a_mixin_and_rules_for_core(engine: sa.Engine) -> None:
    """
    A vector in a mixin is copied to each class; a Core table takes Rules.
    """

    class Base(DeclarativeBase):
        pass

    class Searched:
        title: Mapped[str]
        search: Mapped[TSVector] = SearchVector({"title": "A"})

    class One(Searched, Base):
        __tablename__ = "one"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Two(Searched, Base):
        __tablename__ = "two"
        id: Mapped[int] = mapped_column(primary_key=True)

    core = sa.Table(
        "core",
        Base.metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Column("words", TSVectorType(config="english")),
    )
    declare(core, search.Rules("words", {"text": "A"}, config="english"))
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        assert list(plan.check(connection, Base.metadata)) == []
        connection.execute(core.insert().values(id=1, text="foxes"))
        assert connection.scalar(sa.select(core.c.words)) == "'fox':1A"
        for each in (One, Two):
            connection.execute(sa.insert(each).values(id=1, title="fox"))
            assert connection.scalar(sa.select(each.search)) == "'fox':1A"


def test_null_json_and_long_texts(engine: sa.Engine) -> None:
    """
    NULL parts count as empty, JSON gives its values and not its keys, a megabyte does no harm.
    """
    metadata = sa.MetaData()
    note = table(
        metadata,
        {"title": "A", "body": "B", "data": "C"},
        sa.Column("data", JSONB),
    )
    metadata.create_all(engine)
    dense = " ".join(
        f"{chr(0x20000 + n // 99)}{chr(0x20000 + n % 99)}-{chr(0x21000 + n % 9999)}"
        for n in range(120_000)
    )
    with engine.begin() as connection:
        connection.execute(
            note.insert().values(id=1, title=None, body="fox", data={"key": ["value", 7]})
        )
        assert connection.scalar(sa.select(note.c.search)) == "'fox':1B 'value':2C"
        for number, values in enumerate([{"body": dense}, {"data": {"key": [dense, 'a "b"\n c']}}]):
            connection.execute(note.insert().values(id=2 + number, title="fox", **values))


@pytest.mark.parametrize("mode", ["generated", "trigger"])
def test_updates(engine: sa.Engine, mode: str) -> None:
    """
    The vector follows its parts, and nothing else can be written into it.
    """
    metadata = sa.MetaData()
    note = table(metadata, {"title": "A", "body": Part("B", budget=5)}, mode=mode)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(note.insert().values(id=1, title="fox", body="dog and cat"))
        assert connection.scalar(sa.select(note.c.search)) == "'a':3B 'dog':2B 'fox':1A"
        connection.execute(note.update().values(title="cow"))
        assert connection.scalar(sa.select(note.c.search)) == "'a':3B 'cow':1A 'dog':2B"
        if mode == "trigger":
            connection.execute(sa.text("UPDATE note SET search = 'lie'"))
            assert connection.scalar(sa.select(note.c.search)) == "'a':3B 'cow':1A 'dog':2B"


def test_related_rows(engine: sa.Engine) -> None:
    """
    Inserting, changing, moving, deleting and emptying the rows of other tables counts.
    """
    metadata = sample.build()
    metadata.create_all(engine)

    def words(number: int = 1) -> str:
        found = connection.scalar(
            sa.text("SELECT strip(words)::text FROM article WHERE id = :id"), {"id": number}
        )
        return str(found)

    with engine.begin() as connection:
        run = connection.exec_driver_sql
        run("INSERT INTO article (id, title, language) VALUES (1, 'eins', 'de'), (2, 'two', 'en')")
        run("INSERT INTO label VALUES (1, 'red'), (2, 'bold')")
        run("INSERT INTO link VALUES (1, 1), (1, 2), (2, 2)")
        run("INSERT INTO remark VALUES (1, 1, 'remark'), (2, 2, 'remark')")
        assert words() == "'bold' 'ein' 'red' 'remark'"
        run("UPDATE label SET name = 'green' WHERE id = 2")
        assert words() == "'ein' 'green' 'red' 'remark'"
        assert words(2) == "'green' 'remark' 'two'"
        run("UPDATE remark SET article = 2 WHERE id = 1")
        assert words() == "'ein' 'green' 'red'"
        run("DELETE FROM link WHERE label = 1")
        assert words() == "'ein' 'green'"
        run("TRUNCATE link")
        assert words() == "'ein'"
        run("TRUNCATE remark")
        assert words(2) == "'two'"
