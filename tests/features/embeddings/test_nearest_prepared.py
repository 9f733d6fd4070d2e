"""
Drivers prepare what is sent often, and PostgreSQL may then plan once for all values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    with_loader_criteria,
)

from pgultra.features.embeddings import Embedding, Vector, VectorType, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.database import Database

pytestmark = [pytest.mark.needs("vector"), pytest.mark.once]

PREPARED = """
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%pgultra_near%'
"""
NAMED = """
SELECT name, parameter_types::text[] AS types FROM pg_prepared_statements
WHERE statement LIKE '%pgultra_near%'
"""


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(index=True)
    embedding: Mapped[Vector] = Embedding(3)


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(sa.ForeignKey("item.id"), index=True)


FILL = """
INSERT INTO item SELECT g, g / 30, CASE WHEN g % 100 = 0 THEN 'rare' ELSE 'state ' || g % 2 END,
    ARRAY[sin(g), cos(g), 0]::vector FROM generate_series(1, 3000) AS g
"""


@pytest.fixture
def engine(database: Database) -> Iterator[sa.Engine]:
    """
    To 3,000 rows of a hundred prices and of three states, one of them rare.
    """
    engine = database.engine()
    Base.metadata.create_all(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(FILL.replace("%", "%%"))
        connection.exec_driver_sql("INSERT INTO tag SELECT g, g FROM generate_series(1, 3000) AS g")
        connection.exec_driver_sql("VACUUM ANALYZE item, tag")
    yield engine
    engine.dispose()


def searched(session: Session | sa.Connection, statement: sa.Select[Any], **options: Any) -> None:
    """
    So often that psycopg prepares it, and PostgreSQL has tried its five plans.
    """
    options.setdefault("exact_below", 200)
    for number in range(20):
        found = session.execute(nearest(statement, Item.embedding, [number, 1, 0], 3, **options))
        assert len(found.all()) == 3


def plans(session: Session | sa.Connection) -> Any:
    """
    How often the search was planned for its values, and how often not.
    """
    [row] = session.execute(sa.text(PREPARED)).all()
    return row


ITEM = sa.select(Item.id)
MANY_EXPECTED: dict[str, sa.Select[Any]] = {
    "a range": ITEM.where(Item.price < 2),
    "the rarest of three": ITEM.where(Item.state == "rare"),
    "not what most are": ITEM.where(Item.state.not_in(["state 0", "state 1"])),
    "text": ITEM.where(sa.text("price < :least").bindparams(least=2)),
    "a function": ITEM.where(sa.func.starts_with(Item.state, "rare")),
    "loader criteria": sa.select(Item).options(with_loader_criteria(Item, Item.price < 2)),
    "a join": ITEM.join(Tag).where(Item.price < 2),
    "a condition of a join": ITEM.join(Tag, sa.and_(Tag.item_id == Item.id, Item.price < 2)),
}


@pytest.mark.parametrize("name", MANY_EXPECTED)
def test_where_any_values_would_give_many_rows_it_is_planned_for_each(
    engine: sa.Engine, name: str
) -> None:
    """
    Of ``price < $1`` PostgreSQL expects a third, and would scan the table for a few.
    """
    with Session(engine) as session:
        searched(session, MANY_EXPECTED[name])
        assert plans(session).generic_plans == 0
        assert plans(session).custom_plans >= 10


def test_where_few_rows_are_expected_it_is_planned_once(engine: sa.Engine) -> None:
    """
    Planning takes longer than looking at thirty rows.
    """
    with Session(engine) as session:
        searched(session, ITEM.where(Item.price == 3))
        assert plans(session).generic_plans > 0


def test_what_keeps_it_so_never_runs(engine: sa.Engine) -> None:
    """
    Also where the host forces the plan for any values.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        searched(connection, ITEM.where(Item.price < 2))
        assert plans(connection).generic_plans > 0
        values = {"vector": "'[1,1,0]'", "boolean": "true", "integer": "2"}
        [row] = connection.execute(sa.text(NAMED)).all()
        given = ", ".join(values.get(each, "3") for each in row.types)
        plan = connection.exec_driver_sql(f'EXPLAIN (ANALYZE) EXECUTE "{row.name}" ({given})')
        lines = [line for line in plan.scalars() if "generate_series" in line]
        assert len(lines) == 2
        assert all("never executed" in line for line in lines)


def test_values_that_are_written_out_need_nothing(engine: sa.Engine) -> None:
    """
    Such a statement has no plan for other values; it is what a View is made of.
    """
    vector = sa.literal_column("'[1,2,3]'::vector(3)", VectorType(3))
    statement = nearest(ITEM.where(Item.price < 2), Item.embedding, vector, 3)
    text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
    assert "%(" not in text
    assert "pgultra_many" not in text
    with engine.connect() as connection:
        assert len(connection.exec_driver_sql(text).all()) == 3


@pytest.mark.parametrize("vector", [[1, 2, 3], "untyped", "typed"])
def test_a_parameter_of_psycopg_is_taken_as_it_is(vector: Any) -> None:
    """
    A cast with dimensions is a function, and a subquery around it is one more to plan.
    """
    given = {"untyped": sa.bindparam("v"), "typed": sa.bindparam("v", type_=VectorType(3))}
    query = vector if isinstance(vector, list) else given[vector]
    statement = nearest(ITEM, Item.embedding, query, 3)
    psycopg = str(statement.compile(dialect=PGDialect_psycopg()))
    assert "::VECTOR AS distance" in psycopg
    assert "(SELECT %(" not in psycopg
    asyncpg = str(statement.compile(dialect=PGDialect_asyncpg()))
    assert "<=> (SELECT $1::REAL[]::VECTOR(3)) AS distance" in asyncpg


def test_what_an_index_holds_otherwise_is_cast_once() -> None:
    """
    The vector as 16-bit floats, for the candidates; the distance takes it as it is.
    """
    table = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("embedding", VectorType(3, precision="half")),
    )
    statement = nearest(table, table.c.embedding, [1, 2, 3], 3)
    text = str(statement.compile(dialect=PGDialect_psycopg()))
    assert "::VECTOR AS distance" in text
    assert "::VECTOR(3) AS HALFVEC(3))) AS candidate" in text
