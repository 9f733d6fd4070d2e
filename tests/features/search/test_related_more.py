"""
Related rows: vectors that hang on each other, other schemas, two texts of a table, two writers.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.schema import CreateSchema

from pgultra import plan
from pgultra.features.search import Related, TSVectorType

WAITS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND datname = current_database()"
)


def table(metadata: sa.MetaData, name: str, *columns: sa.Column[Any], **options: Any) -> sa.Table:
    """
    A table with an integer key.
    """
    key: sa.Column[int] = sa.Column("id", sa.Integer, primary_key=True, autoincrement=False)
    return sa.Table(name, metadata, key, *columns, **options)


def tagged(
    metadata: sa.MetaData, schemas: tuple[str | None, str | None, str | None] = (None, None, None)
) -> tuple[sa.Table, sa.Table, sa.Table]:
    """
    Articles and tags, tied many to many; schemas of the article, the link and the tag.
    """
    article = table(metadata, "article", sa.Column("title", sa.Text), schema=schemas[0])
    tag = table(metadata, "tag", sa.Column("name", sa.Text), schema=schemas[2])
    link = sa.Table(
        "link",
        metadata,
        sa.Column("article_id", sa.ForeignKey(article.c.id), primary_key=True),
        sa.Column("tag_id", sa.ForeignKey(tag.c.id), primary_key=True),
        schema=schemas[1],
    )
    return article, link, tag


def vector(table: sa.Table, parts: dict[Any, str]) -> None:
    """
    Give the table a vector.
    """
    table.append_column(sa.Column("search", TSVectorType(parts)))


def words(connection: sa.Connection, table: sa.Table) -> list[str]:
    """
    The words of each vector, in the order of the key.
    """
    vectors = connection.scalars(sa.select(table.c.search).order_by(table.c.id))
    return [" ".join(sorted(vector.words)) for vector in vectors]


def test_vectors_that_hang_on_each_other(connection: sa.Connection) -> None:
    """
    A change goes to the other's vector, and ends there.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    vector(article, {"title": "A", Related("tag.name", through="link"): "B"})
    vector(tag, {"name": "A", Related("article.title", through="link"): "B"})
    metadata.create_all(connection)
    connection.execute(article.insert(), [{"id": 1, "title": "x"}, {"id": 2, "title": "xx"}])
    connection.execute(tag.insert(), [{"id": 1, "name": "y"}, {"id": 2, "name": "yy"}])
    for pair in ((1, 1), (1, 2), (2, 1)):
        connection.execute(link.insert().values(pair))
    connection.execute(tag.update().where(tag.c.id == 1).values(name="z"))
    connection.execute(article.update().where(article.c.id == 1).values(title="w"))
    assert words(connection, article) == ["w yy z", "xx z"]
    assert words(connection, tag) == ["w xx z", "w yy"]
    connection.execute(link.delete().where(link.c.tag_id == 2))
    connection.execute(tag.delete().where(tag.c.id == 2))
    assert words(connection, article) == ["w z", "xx z"]
    connection.exec_driver_sql("TRUNCATE link")
    assert (words(connection, article), words(connection, tag)) == (["w", "xx"], ["z"])
    assert list(plan.check(connection, metadata)) == []


def test_rows_that_hang_on_rows_of_their_table(connection: sa.Connection) -> None:
    """
    A row gathers its children and not their children; many at once end well.
    """
    metadata = sa.MetaData()
    parent: sa.Column[int] = sa.Column("parent", sa.ForeignKey("place.id"))
    place = table(metadata, "place", parent, sa.Column("name", sa.Text))
    vector(place, {"name": "A", Related("place.name"): "B"})
    metadata.create_all(connection)
    for each in ((1, None, "a"), (2, 1, "b"), (3, 2, "c"), (4, 4, "d")):
        connection.execute(place.insert().values(each))
    assert words(connection, place) == ["a b", "b c", "c", "d"]
    connection.execute(place.update().values(name=place.c.name + "x"))
    assert words(connection, place) == ["ax bx", "bx cx", "cx", "dx"]
    connection.execute(place.update().where(place.c.id == 3).values(parent=1))
    assert words(connection, place) == ["ax bx cx", "bx", "cx", "dx"]


def test_rows_that_did_not_change_write_nothing(connection: sa.Connection) -> None:
    """
    No row at all, the same text, another column: the row above is as it was.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    tag.append_column(sa.Column("uses", sa.Integer))
    vector(article, {Related("tag.name", through="link"): "B"})
    metadata.create_all(connection)
    connection.execute(article.insert().values(id=1))
    connection.execute(tag.insert().values(id=1, name="y"))
    connection.execute(link.insert().values((1, 1)))
    at = sa.select(sa.literal_column("ctid::text")).select_from(article)
    before = connection.scalar(at)
    connection.execute(tag.update().values(name="y", uses=2))
    connection.execute(tag.update().where(tag.c.id == 7).values(name="z"))
    connection.execute(link.delete().where(link.c.tag_id == 7))
    connection.execute(
        link.insert().from_select(["article_id", "tag_id"], sa.select(link).limit(0))
    )
    assert connection.scalar(at) == before
    connection.execute(tag.update().values(name="z"))
    assert connection.scalar(at) != before


@pytest.mark.parametrize("first", ["rename", "link"])
@pytest.mark.parametrize("schemas", [(None, None, None), (None, "Other %1$I", "tags")])
def test_a_tag_is_renamed_while_it_is_linked(
    engine: sa.Engine, first: str, schemas: tuple[str | None, str | None, str | None]
) -> None:
    """
    Whoever comes second waits, and the article has the new name.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata, schemas)
    vector(article, {"title": "A", Related(tag.c.name, through=link): "B"})
    with engine.begin() as connection:
        for schema in filter(None, schemas):
            connection.execute(CreateSchema(schema))
        metadata.create_all(connection)
        connection.execute(article.insert(), [{"id": n, "title": "x"} for n in (1, 2)])
        connection.execute(tag.insert().values(id=1, name="old"))
        connection.execute(link.insert().values(article_id=2, tag_id=1))
    statements: list[Any] = [
        tag.update().values(name="new"),
        link.insert().values(article_id=1, tag_id=1),
    ]
    if first == "link":
        statements.reverse()

    def second() -> None:
        with engine.begin() as connection:
            connection.execute(statements[1])

    other = threading.Thread(target=second)
    with engine.begin() as connection:
        connection.execute(statements[0])
        other.start()
        for _ in range(500):
            with engine.connect() as watching:
                if watching.scalar(WAITS):
                    break
            time.sleep(0.01)  # between two looks at who waits
        else:
            pytest.fail("the second does not wait")
    other.join()
    with engine.connect() as connection:
        assert words(connection, article) == ["new x", "new x"]


@pytest.mark.parametrize("first", ["rename", "move"])
@pytest.mark.parametrize("what", ["link", "key"])
def test_a_tag_is_renamed_while_its_link_moves(engine: sa.Engine, first: str, what: str) -> None:
    """
    No foreign key checks the tag of a link that gets another article; its name comes along.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    [key] = [each for each in link.foreign_keys if each.column is article.c.id]
    assert key.constraint is not None
    key.constraint.onupdate = "CASCADE"
    vector(article, {Related(tag.c.name, through=link): "B"})
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(article.insert(), [{"id": 1}] + [{"id": 2}] * (what == "link"))
        connection.execute(tag.insert().values(id=1, name="old"))
        connection.execute(link.insert().values((1, 1)))
    moves = {
        "link": link.update().values(article_id=2),
        "key": article.update().values(id=2),
    }
    acts = [tag.update().values(name="new"), moves[what]]
    if first == "move":
        acts.reverse()

    def second() -> None:
        with engine.begin() as connection:
            connection.execute(acts[1])

    other = threading.Thread(target=second)
    with engine.begin() as connection:
        connection.execute(acts[0])
        other.start()
        for _ in range(500):
            with engine.connect() as watching:
                if watching.scalar(WAITS):
                    break
            time.sleep(0.01)  # between two looks at who waits
        else:
            pytest.fail("the second does not wait")
    other.join()
    with engine.connect() as connection:
        assert words(connection, article) == ([""] if what == "link" else []) + ["new"]


def test_two_who_link_a_tag_do_not_wait(engine: sa.Engine) -> None:
    """
    Only a new name keeps those who link out.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    vector(article, {Related(tag.c.name, through=link): "B"})
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(article.insert(), [{"id": 1}, {"id": 2}])
        connection.execute(tag.insert().values(id=1, name="fox"))
    with engine.begin() as one, engine.begin() as two:
        for connection, number in ((one, 1), (two, 2)):
            connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            connection.execute(link.insert().values(article_id=number, tag_id=1))
    with engine.connect() as connection:
        assert words(connection, article) == ["fox", "fox"]


def test_who_may_write_a_name_needs_no_more(engine: sa.Engine, owner: tuple[str, str]) -> None:
    """
    The right to UPDATE that one column is enough, and to link none at all on the tag.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    vector(article, {Related(tag.c.name, through=link): "B"})
    metadata.create_all(engine)
    role = owner[0]
    with engine.begin() as connection:
        connection.execute(article.insert().values(id=1))
        connection.execute(tag.insert().values(id=1, name="old"))
        for right in (
            "SELECT, UPDATE (search) ON article",
            "SELECT, INSERT ON link",
            "SELECT, UPDATE (name) ON tag",
        ):
            connection.exec_driver_sql(f"GRANT {right} TO {role}")
        connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
        connection.execute(link.insert().values(article_id=1, tag_id=1))
        connection.execute(tag.update().values(name="new"))
        assert words(connection, article) == ["new"]


@pytest.mark.parametrize(
    "schemas",
    [
        (None, None, "other"),
        (None, "other", None),
        (None, "Other %1$I 'n' \"Schema", "other"),
        ("theirs", "other", "other"),
    ],
)
@pytest.mark.parametrize("path", ["public", "own, public"])
def test_the_related_rows_are_in_another_schema(
    engine: sa.Engine, schemas: tuple[str | None, str | None, str | None], path: str
) -> None:
    """
    Tables without a schema are where the foreign keys lead to, whatever the path of the writer.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata, schemas)
    vector(article, {"title": "A", Related(tag.c.name, through=link): "B"})
    with engine.begin() as connection:
        for schema in {"own", *filter(None, schemas)}:
            connection.execute(CreateSchema(schema))
        connection.exec_driver_sql(f"SET LOCAL search_path = {path}")
        metadata.create_all(connection)
        assert list(plan.check(connection, metadata)) == []
        if path != "public":
            metadata = sa.MetaData()
            here = [schema or "own" for schema in schemas]
            article, link, tag = tagged(metadata, (here[0], here[1], here[2]))
            article.append_column(sa.Column("search", TSVectorType()))
            connection.exec_driver_sql("SET LOCAL search_path = ''")
        connection.execute(article.insert().values(id=1, title="x"))
        connection.execute(tag.insert().values(id=1, name="fox"))
        connection.execute(link.insert().values(article_id=1, tag_id=1))
        assert words(connection, article) == ["fox x"]
        connection.execute(tag.update().values(name="dog"))
        assert words(connection, article) == ["dog x"]
        connection.execute(link.delete())
        assert words(connection, article) == ["x"]


def test_rows_that_refer_from_another_schema(connection: sa.Connection) -> None:
    """
    The same without a table between the two, at each kind of write.
    """
    metadata = sa.MetaData()
    article = table(metadata, "article", sa.Column("title", sa.Text))
    refers: sa.Column[int] = sa.Column("article_id", sa.ForeignKey("article.id"))
    remark = table(metadata, "article_", refers, sa.Column("body", sa.Text), schema="other")
    vector(article, {"title": "A", Related(remark.c.body): "C"})
    connection.execute(CreateSchema("other"))
    metadata.create_all(connection)
    connection.execute(article.insert().values(id=1, title="x"))
    connection.execute(remark.insert().values(id=1, article_id=1, body="fox"))
    assert words(connection, article) == ["fox x"]
    connection.execute(remark.update().values(body="dog"))
    assert words(connection, article) == ["dog x"]
    connection.exec_driver_sql("TRUNCATE other.article_")
    assert words(connection, article) == ["x"]


def test_a_foreign_key_without_the_schema_of_its_metadata(connection: sa.Connection) -> None:
    """
    SQLAlchemy reads it so that it names a table of the MetaData's schema.
    """
    metadata = sa.MetaData(schema="s")
    article = table(metadata, "article", sa.Column("title", sa.Text))
    refers: sa.Column[int] = sa.Column("article_id", sa.ForeignKey("article.id"))
    remark = table(metadata, "remark", refers, sa.Column("body", sa.Text))
    vector(article, {"title": "A", Related("remark.body"): "C"})
    connection.execute(CreateSchema("s"))
    metadata.create_all(connection)
    connection.execute(article.insert().values(id=1, title="x"))
    connection.execute(remark.insert().values(id=1, article_id=1, body="fox"))
    assert words(connection, article) == ["fox x"]


def test_several_texts_of_one_table(connection: sa.Connection) -> None:
    """
    It has one set of triggers, which looks at all of them and at each way to them.
    """
    metadata = sa.MetaData()
    article, link, tag = tagged(metadata)
    link.append_column(sa.Column("note", sa.Text))
    tag.append_column(sa.Column("owner", sa.ForeignKey("article.id")))
    tag.append_column(sa.Column("about", sa.Text))
    parts = {
        Related("tag.name", through="link"): "A",
        Related("tag.about", through="link"): "B",
        Related("tag.name"): "C",
        Related("link.note"): "D",
    }
    vector(article, parts)
    metadata.create_all(connection)
    connection.execute(article.insert(), [{"id": 1}, {"id": 2}])
    connection.execute(tag.insert().values(id=1, name="a", about="b", owner=2))
    connection.execute(link.insert().values(article_id=1, tag_id=1, note="c"))
    assert words(connection, article) == ["a b c", "a"]
    for change, expected in (
        (tag.update().values(name="aa"), ["aa b c", "aa"]),
        (tag.update().values(about="bb"), ["aa bb c", "aa"]),
        (tag.update().values(owner=1), ["aa bb c", ""]),
        (link.update().values(note="cc"), ["aa bb cc", ""]),
    ):
        connection.execute(change)
        assert words(connection, article) == expected
    assert list(plan.check(connection, metadata)) == []


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        (JSON, "fox", "dog"),
        pytest.param("insensitive", "cafe", "café", marks=pytest.mark.needs("icu")),
    ],
)
def test_texts_are_compared_byte_by_byte(
    connection: sa.Connection, type_: Any, old: str, new: str
) -> None:
    """
    json has no equality, and under some collations unequal texts are equal.
    """
    if type_ == "insensitive":
        connection.exec_driver_sql(
            "CREATE COLLATION insensitive "
            "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
        )
    metadata = sa.MetaData()
    article = table(metadata, "article")
    refers: sa.Column[int] = sa.Column("article_id", sa.ForeignKey("article.id"))
    type_ = sa.Text(collation=type_) if isinstance(type_, str) else type_
    remark = table(metadata, "remark", refers, sa.Column("body", type_))
    vector(article, {Related("remark.body"): "C"})
    metadata.create_all(connection)
    connection.execute(article.insert().values(id=1))
    connection.execute(remark.insert().values(id=1, article_id=1, body=old))
    connection.execute(remark.update().values(body=new))
    assert words(connection, article) == [new]
