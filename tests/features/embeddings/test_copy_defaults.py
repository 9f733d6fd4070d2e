"""
Defaults in ``bulk_copy``: sent as an insert sends them, or refused.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pgvector import Vector  # noqa: TC002  # SQLAlchemy reads the annotations
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgultra import DeclarationError
from pgultra.features.embeddings import Embedding, VectorType, bulk_copy

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")


class Colour(enum.Enum):
    RED = "r"


class Quoted(sa.types.TypeDecorator[str]):
    """
    A type whose values are stored as something else.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else f"<{value}>"


def table_of(type_: Any, default: Any) -> sa.Table:
    return sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", type_, default=default),
    )


def create(engine: sa.Engine, table: sa.Table) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION vector")
    table.metadata.create_all(engine)


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (Quoted(), "abc"),
        (Quoted(), lambda: "abc"),
        (sa.Enum(Colour), Colour.RED),
        (JSONB, dict),
        (VectorType(3, index=None), lambda: [1, 2, 3]),
        (sa.Text, lambda: None),
    ],
)
def test_defaults_pass_through_the_types(database: Database, type_: Any, default: Any) -> None:
    """The row that was copied is the one that an insert makes."""
    table = table_of(type_, default)
    engine, async_engine = database.engine(), database.async_engine()
    create(engine, table)

    async def load() -> None:
        async with async_engine.begin() as connection:
            assert await bulk_copy(connection, table, [{"id": 3}]) == 1

    asyncio.run(load())
    with engine.begin() as connection:
        connection.execute(table.insert(), {"id": 1})
        assert bulk_copy(connection, table, [{"id": 2}]) == 1
        found = connection.exec_driver_sql("SELECT value::text FROM thing").scalars().all()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_an_expression_is_refused(engine: sa.Engine) -> None:
    """COPY can send none, and NULL in its place would go unseen."""
    table = table_of(sa.DateTime(timezone=True), sa.func.now())
    create(engine, table)
    with engine.begin() as connection:
        with pytest.raises(DeclarationError, match=r"default of thing.value .* now\(\)"):
            bulk_copy(connection, table, [{"id": 1}])
        assert bulk_copy(connection, table, [{"id": 1, "value": None}]) == 1


def test_a_codec_of_the_host_may_read_vectors(engine: sa.Engine) -> None:
    """pgvector's own makes a Vector before the type sees it."""
    from pgvector.psycopg import register_vector

    table = table_of(VectorType(3, index=None), None)
    create(engine, table)
    with engine.begin() as connection:
        register_vector(connection.connection.driver_connection)
        connection.execute(table.insert(), {"id": 1, "value": [1, 2, 3]})
        raw = sa.text("SELECT value FROM thing").columns(value=VectorType(3))
        for statement in (raw, sa.select(table.c.value)):
            assert connection.execute(statement).scalar_one().to_list() == [1, 2, 3]


class Base(DeclarativeBase):
    pass


class Animal(Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012  # as SQLAlchemy has it

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str | None] = mapped_column(default="none of them")
    embedding: Mapped[Vector | None] = Embedding(3, index=None)


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012  # as SQLAlchemy has it


class Counted(Base):
    __tablename__ = "counted"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int | None] = mapped_column()
    twice: Mapped[int] = mapped_column(default=lambda now: now.get_current_parameters()["id"] * 2)
    again: Mapped[int] = mapped_column(default=lambda now: now.current_parameters["id"] * 3)
    embedding: Mapped[Vector | None] = Embedding(3, index=None)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # as SQLAlchemy has it


def test_a_subclass_keeps_its_rows(engine: sa.Engine) -> None:
    """The discriminator is the class's, unless the rows say another; else nobody finds them."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        bulk_copy(connection, Dog, [{"id": 1, "embedding": [1, 2, 3]}])
        bulk_copy(connection, Animal, [{"id": 2}])
        bulk_copy(connection, Animal, [{"id": 3, "kind": "dog"}])
    with Session(engine) as session:
        assert session.scalars(sa.select(Dog.id).order_by(Dog.id)).all() == [1, 3]
        animals = session.scalars(sa.select(Animal).order_by(Animal.id)).all()
        assert [type(each) for each in animals] == [Dog, Animal, Dog]


def test_a_row_that_counts_its_versions_can_be_changed(engine: sa.Engine) -> None:
    """It begins with the version that an insert gives; functions of a default see the row."""
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        bulk_copy(connection, Counted, [{"id": n, "embedding": [1, 2, n]} for n in range(1, 4)])
    with Session(engine) as session:
        row = session.get_one(Counted, 2)
        assert (row.version, row.twice, row.again) == (1, 4, 6)
        row.embedding = [3, 2, 1]
        session.commit()
        assert row.version == 2


def test_a_sequence_is_refused(engine: sa.Engine) -> None:
    """Where an insert would ask it for the number; a default in the database is as good."""
    table = table_of(sa.Integer, sa.Sequence("numbers"))
    create(engine, table)
    told = pytest.raises(DeclarationError, match=r"default of thing.value is the sequence numbers")
    with engine.begin() as connection, told:
        bulk_copy(connection, table, [{"id": 1}])
    other = sa.Table(
        "thing",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "value",
            sa.Integer,
            sa.Sequence("numbers"),
            server_default=sa.Sequence("numbers").next_value(),
        ),
    )
    with engine.begin() as connection:
        table.drop(connection)
        other.create(connection)
        assert bulk_copy(connection, other, [{"id": 1}]) == 1
        assert connection.scalar(sa.select(other.c.value)) is not None
