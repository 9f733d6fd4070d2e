"""
What a class or a table says of its partitions, and what is refused when it is mapped.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    registry,
    relationship,
)

import pgultra
from pgultra import ByHash, ByList, ByRange, DeclarationError, PartitionedTable, declare
from pgultra.plan import collect, facts_of

YEAR = datetime.fromisoformat("2020-01-01")
MOMENT = sa.DateTime(timezone=True)


def table(*columns: Any, **options: Any) -> sa.Table:
    """
    A table of its own, keyed by id and at.
    """
    found = columns or (
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("at", MOMENT, primary_key=True),
    )
    return sa.Table("event", sa.MetaData(), *found, **options)


def partition_by(of: sa.Table) -> str:
    """
    What SQLAlchemy will print.
    """
    return of.dialect_options["postgresql"]["partition_by"]


class Base(DeclarativeBase):
    """
    The base of the classes below; those that are refused leave their table in it.
    """


def test_a_class_says_how_its_table_is_divided() -> None:
    """
    The mixin sets what CREATE TABLE prints, and tells other rooms the key.
    """

    class Own(DeclarativeBase):
        pass

    class Event(PartitionedTable, Own):
        __tablename__ = "event"
        __partition_by__ = ByRange("occurred", every="month", then=ByHash("id", modulus=4))

        id = mapped_column(sa.BigInteger, primary_key=True)
        occurred = mapped_column("at", MOMENT, primary_key=True)

    assert partition_by(Event.__table__) == "RANGE (at)"
    assert facts_of(Event.__table__).partition_key == ("at", "id")
    assert "partitioning" in {each.kind for each in collect(Own.metadata).values()}


def test_a_dataclass_a_column_an_attribute_and_an_imperative_table() -> None:
    """
    Every kind of host: the key may be a name, a Column or an attribute.
    """

    class DataBase(MappedAsDataclass, DeclarativeBase):
        pass

    class Visit(PartitionedTable, DataBase):
        __tablename__ = "visit"
        number = mapped_column(sa.BigInteger, primary_key=True)
        __partition_by__ = ByRange(number, every=1_000_000)

    assert partition_by(Visit.__table__) == "RANGE (number)"

    class Plain:
        pass

    mapped = table()
    registry().map_imperatively(Plain, mapped)
    declare(Plain, ByRange(mapped.c.at, every=timedelta(days=10)))
    assert partition_by(mapped) == "RANGE (at)"

    class Attributed(Base):
        __tablename__ = "attributed"
        id = mapped_column(sa.BigInteger, primary_key=True)

    declare(Attributed, ByHash(Attributed.id, modulus=2))
    assert partition_by(Attributed.__table__) == "HASH (id)"


def test_a_mixin_of_the_host_and_single_table_inheritance() -> None:
    """
    Columns and rules may stand on an abstract base; subclasses share their root's table.
    """

    class Dated:
        id = mapped_column(sa.BigInteger, primary_key=True)
        at = mapped_column(MOMENT, primary_key=True)
        kind = mapped_column(sa.String)
        __partition_by__ = ByRange(at, every="1 day")

    class Root(Dated, PartitionedTable, Base):
        __tablename__ = "root"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "root"}  # noqa: RUF012  # as SQLAlchemy has it

    class Leaf(Root):
        __mapper_args__ = {"polymorphic_identity": "leaf"}  # noqa: RUF012  # as SQLAlchemy has it

    assert partition_by(Leaf.__table__) == "RANGE (at)"
    with pytest.raises(DeclarationError, match="shares its table with Root"):

        class Other(Root):
            __partition_by__ = ByHash("id")
            __mapper_args__ = {"polymorphic_identity": "other"}  # noqa: RUF012  # as SQLAlchemy has it


def test_the_primary_key_must_hold_the_partition_key() -> None:
    """
    The message says the exact change to make.
    """
    with pytest.raises(DeclarationError) as caught:

        class Keyless(PartitionedTable, Base):
            __tablename__ = "keyless"
            __partition_by__ = ByRange("at", every="1 month")
            id = mapped_column(sa.BigInteger, primary_key=True)
            at = mapped_column(MOMENT)

    assert "keyless: the primary key (id) must contain the partition key at" in str(caught.value)
    assert "write at = mapped_column(…, primary_key=True)" in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (sa.UniqueConstraint("slug"), "write UniqueConstraint('slug', 'at')"),
        (sa.Index("by_slug", "slug", unique=True), "write an index on ('slug', 'at')"),
    ],
)
def test_every_unique_rule_must_hold_it(rule: Any, written: str) -> None:
    """
    Also those of levels below, and those that come after the declaration.
    """
    columns = (sa.Column("at", MOMENT), sa.Column("slug", sa.String))
    with pytest.raises(DeclarationError) as caught:
        declare(table(*columns, rule), ByRange("at", every="1 month"))
    assert written in str(caught.value)
    late = table(sa.Column("at", MOMENT), sa.Column("slug", sa.String))
    declare(late, ByRange("at", every="1 month"))
    sa.Index("by_slug", late.c.slug, unique=True)
    with pytest.raises(DeclarationError, match="by_slug must contain the partition key at"):
        collect(late.metadata)
    with pytest.raises(DeclarationError, match="must contain the partition key slug"):
        declare(
            table(sa.Column("at", MOMENT, primary_key=True), sa.Column("slug", sa.String)),
            ByRange("at", every="1 month", then=ByHash("slug")),
        )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ByRange("at"), "either every= or bounds="),
        (lambda: ByRange("at", every="fortnight"), "every='fortnight' is not a step"),
        (lambda: ByRange("at", every="0 days"), "is not a step"),
        (lambda: ByRange("at", every=timedelta(seconds=90)), "is not a step"),
        (lambda: ByRange("at", every="1 month", premake=-1), "premake=-1"),
        (lambda: ByRange("at", every="1 month", retain=7), "count different things"),
        (lambda: ByRange("at", every="1 month", on_expire="delete"), "'detach', 'drop', 'archive'"),
        (lambda: ByRange("at", every="1 month", time_zone="Mars/Base"), "not a time zone"),
        (lambda: ByRange("at", bounds=(1,)), "at least two borders"),
        (lambda: ByRange("at", bounds=(1, None, 3)), "None at the ends only"),
        (lambda: ByRange("at", bounds=(3, 1)), "do not ascend"),
        (lambda: ByRange("at", every="1 day", then="id"), "is not a level"),
        (lambda: ByList("at", {}), "is not a mapping of names to values"),
        (lambda: ByList("at", {"a": ("x",), "b": ("x",)}), "'x' is in group 'a' and in 'b'"),
        (lambda: ByList("at", {"default": ("x",)}), "a name other than 'default'"),
        (lambda: ByHash("at", modulus=0), "modulus=0"),
    ],
)
def test_what_cannot_be_is_said_at_once(make: Any, said: str) -> None:
    """
    Options are judged where they are written, and the message names them.
    """
    with pytest.raises(DeclarationError, match=said.replace("(", r"\(").replace(")", r"\)")):
        make()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (ByRange("when", every="1 month"), "no column 'when'"),
        (ByRange("id", every="1 month"), "does not fit a key of type bigint"),
        (ByRange("at", every=1000), "does not fit a key of type timestamptz"),
        (ByRange("name", every="1 month"), "which has no every="),
        (ByRange("day", every="1 hour"), "a day is the least"),
        (ByRange("made", every="1 day"), "is a generated column"),
    ],
)
def test_the_key_must_fit(rules: Any, said: str) -> None:
    """
    The type of the column decides which steps there are.
    """
    columns = (
        sa.Column("id", sa.BigInteger),
        sa.Column("at", MOMENT),
        sa.Column("name", sa.String),
        sa.Column("day", sa.Date),
        sa.Column("made", sa.Date, sa.Computed("day + 1")),
    )
    with pytest.raises(DeclarationError, match=said):
        declare(table(*columns), rules)


def test_once_and_without_contradiction() -> None:
    """
    Two declarations, or another clause in the table's own arguments, are refused.
    """
    twice = table()
    declare(twice, ByRange("at", every="1 month"))
    declare(twice, ByRange("at", every="1 month"))
    with pytest.raises(DeclarationError, match="partitioned already"):
        declare(twice, ByHash("id"))
    same = table(postgresql_partition_by='RANGE ("at")')
    declare(same, ByRange("at", every="1 month"))
    with pytest.raises(DeclarationError, match="says something else"):
        declare(table(postgresql_partition_by="HASH (id)"), ByRange("at", every="1 month"))
    with pytest.raises(DeclarationError, match="say how its table is partitioned"):

        class Silent(PartitionedTable, Base):
            __tablename__ = "silent"
            id = mapped_column(sa.Integer, primary_key=True)

    with pytest.raises(DeclarationError, match="must be ByRange"):

        class Loud(PartitionedTable, Base):
            __tablename__ = "loud"
            __partition_by__ = "RANGE (id)"
            id = mapped_column(sa.Integer, primary_key=True)


class Colour(enum.Enum):
    red = "r"
    blue = "b"


def test_values_are_stored_as_the_column_stores_them(engine: sa.Engine) -> None:
    """
    Members of an enum by name, NULL among the values, quotes and backslashes in them.
    """
    metadata = sa.MetaData()
    thing = sa.Table(
        "thing",
        metadata,
        sa.Column("colour", sa.Enum(Colour)),
        sa.Column("text", sa.Text),
    )
    declare(thing, ByList("colour", {"warm": (Colour.red, None), "cold": (Colour.blue,)}))
    texts = sa.Table("texts", metadata, sa.Column("text", sa.Text))
    declare(texts, ByList("text", {"odd": ("it's", "a\\b", "100%", "$rules$"), "tab": "\t"}))
    metadata.create_all(engine)
    with engine.begin() as connection:
        for value in (Colour.red, Colour.blue, None):
            connection.execute(thing.insert(), {"colour": value})
        for text in ("it's", "a\\b", "100%", "$rules$", "\t"):
            connection.execute(texts.insert(), {"text": text})
        places = sa.text("SELECT DISTINCT tableoid::regclass::text FROM thing ORDER BY 1")
        assert connection.scalars(places).all() == ["thing_cold", "thing_warm"]
        found = pgultra.plan.check(connection, metadata)
        assert list(map(str, found)) == []
        assert (
            connection.scalar(
                sa.text(
                    "SELECT cardinality(pgultra_partitions_premake('texts',texts_partitions()))"
                )
            )
            == 0
        )


def test_given_borders(engine: sa.Engine) -> None:
    """
    bounds= takes what PostgreSQL can order, open ends and a default partition included.
    """
    metadata = sa.MetaData()
    named = sa.Table("named", metadata, sa.Column("name", sa.Text))
    declare(named, ByRange("name", bounds=(None, "g", "p", None)))
    dated = sa.Table("dated", metadata, sa.Column("at", sa.DateTime))
    declare(dated, ByRange("at", bounds=(YEAR, datetime.fromisoformat("2021-07-01")), default=True))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(named.insert(), [{"name": name} for name in ("a", "g", "zebra")])
        connection.execute(dated.insert(), [{"at": YEAR}, {"at": None}])
        names = sa.text("SELECT tableoid::regclass::text FROM named ORDER BY name")
        assert connection.scalars(names).all() == ["named_least", "named_g", "named_p"]
        places = sa.text("SELECT tableoid::regclass::text FROM dated ORDER BY at")
        assert connection.scalars(places).all() == ["dated_2020_01_01", "dated_default"]
        for told in ("named", "dated"):
            again = f"SELECT pgultra_partitions_premake('{told}', {told}_partitions())"
            assert connection.scalar(sa.text(again)) == []


def test_classes_may_refer_to_later_ones() -> None:
    """
    Mapping a partitioned class resolves no relationship of a class before it.
    """

    class Own(DeclarativeBase):
        pass

    class Author(Own):
        __tablename__ = "author"
        id = mapped_column(sa.Integer, primary_key=True)
        posts = relationship("Post")

    class Visit(PartitionedTable, Own):
        __tablename__ = "visit"
        __partition_by__ = ByHash("number", modulus=2)
        number = mapped_column("id", sa.Integer, primary_key=True)

    class Post(Own):
        __tablename__ = "post"
        id = mapped_column(sa.Integer, primary_key=True)
        author_id = mapped_column(sa.ForeignKey("author.id"))

    assert partition_by(Visit.__table__) == "HASH (id)"
    assert sa.inspect(Author).relationships["posts"].mapper.class_ is Post


def test_the_reference_shows_what_happens() -> None:
    """
    Its class is mapped as it stands, and its error is the one that comes without the key.
    """
    page = (Path(__file__).parents[3] / "docs" / "reference" / "partitions.md").read_text()
    source = re.findall(r"```python\n(class .*?)```", page, re.DOTALL)[0]
    names = {
        **vars(pgultra.partitions),
        **{name: getattr(sa, name) for name in ("BigInteger", "DateTime")},
        "Mapped": Mapped,
        "mapped_column": mapped_column,
        "datetime": datetime,
        "__name__": __name__,
    }

    def mapped(text: str) -> Any:
        class Own(DeclarativeBase):
            pass

        exec(compile(text, "page", "exec", dont_inherit=True), {**names, "Base": Own})
        return Own.metadata.tables["event"]

    assert partition_by(mapped(source)) == "RANGE (occurred_at)"
    keyless = source.replace("DateTime(timezone=True), primary_key=True", "DateTime(timezone=True)")
    with pytest.raises(DeclarationError) as caught:
        mapped(keyless)
    (shown,) = re.findall(r"```text\nDeclarationError: (.*?)```", page, re.DOTALL)
    assert " ".join(shown.split()) == " ".join(str(caught.value).split())


def test_rules_without_the_mixin() -> None:
    """
    Nobody would read them, and the table would be a plain one.
    """

    class Own(DeclarativeBase):
        pass

    with pytest.raises(DeclarationError, match=r"write class Event\(PartitionedTable, "):

        class Event(Own):
            __tablename__ = "event"
            __partition_by__ = ByRange("id", every=100)
            id: Mapped[int] = mapped_column(primary_key=True)
