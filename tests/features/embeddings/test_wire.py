from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pgvector import HalfVector, Vector
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from pgultra.features.embeddings import Embedding, InvalidVector, VectorType, bulk_copy, nearest
from pgultra.features.embeddings.driver import printer
from pgultra.features.embeddings.wire import Packed, Packer, unpacked

if TYPE_CHECKING:
    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    embedding: Mapped[Vector | None] = Embedding(3, index=None)


FORMS = [
    [1.0, 2.0, 3.0],
    (1, 2, 3),
    np.array([1, 2, 3], dtype="f4"),
    np.array([1, 2, 3], dtype="f8"),
    np.array([1, 2, 3], dtype="f2"),
    np.array([1, 2, 3], dtype=">f4"),
    np.array([1, 2, 3]),
    np.array([1, 0, 2, 0, 3, 0], dtype="f4")[::2],
    Vector([1, 2, 3]),
    HalfVector([1, 2, 3]),
]
WANTED = Vector([1, 2, 3])


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_every_form_packs_to_pgvectors_own_bytes(numbers: list[float]) -> None:
    """
    Lists, arrays and Vectors give the bytes that pgvector-python gives, and come back.
    """
    pack = Packer(len(numbers))
    wanted = Vector(numbers).to_binary()
    for form in (numbers, np.array(numbers, dtype="f4"), np.array(numbers), Vector(numbers)):
        assert pack(form) == wanted
    assert unpacked(pack(numbers)).to_list() == pytest.approx(numbers)
    assert pack.numbers(Vector(numbers)) == pytest.approx(numbers)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1, 2], "has 3 dimensions; the given one has 2"),
        (np.zeros(4), "the given one has 4"),
        (Vector([1, 2]), "the given one has 2"),
        ([1, math.nan, 2], r"nan \(at index 1\)"),
        (np.array([1, 2, math.inf]), r"inf \(at index 2\)"),
        (np.array([1, 2, 1e300]), r"at index 2"),
        ([1, 2, 1e300], r"at index 2"),
        (Vector([math.nan, 2, 3]), "nan"),
        ([0, 0, 0], "no direction"),
        (np.zeros(3, dtype="f4"), "no direction"),
        (Vector([0, 0, 0]), "no direction"),
        (np.zeros((3, 3)), "one dimension"),
        (np.array(["a", "b", "c"]), "numbers"),
        ("[1,2,3]", "give a list"),
        (bytearray(b"abc"), "give a list"),
        ({3.0, 1.0, 2.0}, "give a list"),
        ({1: 3, 2: 4, 3: 5}, "give a list"),
        ([1, "x", 2], "numbers"),
        (7, "numbers"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_server_sees_it(
    value: Any, reason: str
) -> None:
    """
    Wrong dimensions, NaN, infinity, no direction and no numbers: each has its message.
    """
    with pytest.raises(InvalidVector, match=reason):
        Packer(3, direction=True)(value)
    with pytest.raises(InvalidVector):
        Packer(3, direction=True).numbers(value)


def test_short_and_long_vectors_have_a_direction(engine: sa.Engine) -> None:
    """
    As far as pgvector tells it: what it takes for zero or infinite would be near to anything.
    """
    pack = Packer(2, direction=True)
    for number in (1e-25, 1e-19, 1e20, 1e30):
        for value in (np.array([0, number], dtype="f4"), [0, number]):
            with pytest.raises(InvalidVector, match="scale it to length 1"):
                pack(value)
            assert len(Packer(2)(value)) == 12
    away = sa.select(
        sa.literal([3, 4], VectorType(2)).op("<=>", return_type=sa.Float)(sa.column("v"))
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION vector")
        for number in (1.1e-18, 9e18):
            for value in (np.array([0, number], dtype="f4"), [0, number]):
                given = sa.select(sa.cast(value, VectorType(2)).label("v")).subquery()
                found = connection.scalar(away.select_from(given))
                assert found == pytest.approx(0.2, rel=1e-6)
                assert len(pack(value)) == 12


def test_zeros_are_fine_where_the_metric_knows_them() -> None:
    """
    Only cosine needs a direction.
    """
    assert VectorType(2, metric="l2", index=None).packer()([0, 0]) == b"\0\2\0\0" + b"\0" * 8


@pytest.mark.parametrize("place", [0, 2])
def test_half_precision_is_refused_what_16_bits_cannot_hold(engine: sa.Engine, place: int) -> None:
    """
    At the very numbers where pgvector's own cast fails, or makes a zero that no index holds.
    """
    pack = VectorType(3, precision="half").packer()
    cast = sa.text("SELECT l2_norm(CAST(CAST(:vector AS vector) AS halfvec))")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    with engine.connect() as connection:
        for number in (65503.9, 65519.9, 65520.0, -65519.9, -65520.0, 1e20, 3e-8, 2.9e-8, 1e-20):
            vector = [0.0] * 3
            vector[place] = number
            try:
                with connection.begin_nested():
                    holds = connection.scalar(cast, {"vector": str(vector)}) > 0
            except sa.exc.DataError:
                holds = False
            for form in (vector, np.array(vector, dtype="f4"), np.array(vector), Vector(vector)):
                if holds:
                    assert len(pack(form)) == 16
                    assert len(pack.batch([form])[0]) == 16
                    continue
                with pytest.raises(InvalidVector, match="precision='half'"):
                    pack(form)
                with pytest.raises(InvalidVector, match="precision='half'"):
                    pack.batch([form])


def test_without_an_index_half_precision_is_what_is_stored() -> None:
    """
    Single precision: then 16 bits bind nobody. And zeros count where the metric knows them.
    """
    assert VectorType(2, precision="half", index=None).packer()([1e9, 1])
    assert VectorType(2, precision="half", metric="l2").packer()([0, 1e-20])


def test_what_came_is_a_vector_like_any_other() -> None:
    """
    Its numbers are read on demand; it compares, copies, pickles and is sent as pgvector's own.
    """
    data = Packer(3)([1, 2.5, -3])
    for form in (data, bytearray(data), memoryview(data), "[1,2.5,-3]"):
        found, own = unpacked(form), Vector([1, 2.5, -3])
        assert found == own == found
        assert found != Vector([1, 2.5, 3]) != found
        assert unpacked(data) == found
        assert repr(found) == repr(own)
        assert (found.dimensions(), found.to_list()) == (3, [1, 2.5, -3])
        assert found.to_numpy().tolist() == [1, 2.5, -3]
        assert (found.to_text(), found.to_binary()) == (own.to_text(), own.to_binary())
        assert Packer(3)(found) == data
        assert copy.deepcopy(found) == copy.copy(found) == own
        assert type(pickle.loads(pickle.dumps(found))) is Vector
        assert pickle.loads(pickle.dumps(found)) == own
    assert unpacked(None) is None
    with pytest.raises(InvalidVector, match="the given one has 3"):
        Packer(2)(data)


def test_the_error_reaches_the_host(engine: sa.Engine) -> None:
    """
    SQLAlchemy wraps it in StatementError, and the message is in it.
    """
    create(engine)
    with Session(engine) as session:
        session.add(Thing(embedding=[1, 2]))
        with pytest.raises(StatementError, match="3 dimensions") as caught:
            session.flush()
    assert isinstance(caught.value.orig, InvalidVector)


def create(engine: sa.Engine) -> None:
    """
    Make the table.
    """
    Base.metadata.create_all(engine)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_psycopg_sends_and_receives_every_form(engine: sa.Engine, form: Any) -> None:
    """
    ORM flush, Core insert, executemany, RETURNING: what was stored comes back.
    """
    create(engine)
    with Session(engine) as session:
        session.add_all([Thing(embedding=form), Thing(id=50, embedding=form), Thing()])
        session.commit()
        found = session.scalars(sa.select(Thing).order_by(Thing.id)).all()
        assert [each.embedding for each in found] == [WANTED, None, WANTED]
    table = Thing.__table__
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [{"embedding": form}, {"embedding": None}])
        returned = connection.execute(
            sa.insert(table).values(embedding=form).returning(table.c.embedding)
        ).scalar_one()
        assert returned == WANTED
        assert connection.execute(sa.select(table.c.embedding).distinct()).scalars().all()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_async_drivers_too(engine: sa.Engine, database: Database, driver: str) -> None:
    """
    The same through asyncpg, and psycopg's async side.
    """
    create(engine)
    other: AsyncEngine = database.async_engine(driver)
    async with AsyncSession(other) as session:
        session.add_all([Thing(embedding=form) for form in FORMS])
        session.add_all([Thing(id=100 + n, embedding=form) for n, form in enumerate(FORMS)])
        session.add(Thing())
        await session.commit()
        found = await session.scalars(sa.select(Thing.embedding))
        assert sorted(map(str, found)) == sorted([str(WANTED)] * 2 * len(FORMS) + ["None"])
        streamed = await session.stream_scalars(sa.select(Thing.embedding).limit(3))
        assert len(await streamed.all()) == 3


@pytest.mark.parametrize("columns", [["id", "embedding"], ["id", "name", "embedding"]])
def test_values_are_the_same_in_text_and_in_binary(engine: sa.Engine, columns: list[str]) -> None:
    """
    With a string among the columns psycopg reads text; the values do not differ.
    """
    create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Thing), [{"id": 1, "name": "a", "embedding": [1, 2, 3]}])
        for _ in range(2):  # the second time the engine is listened to
            query = sa.select(*(Thing.__table__.c[name] for name in columns))
            row = connection.execute(query).one()
            assert row.embedding == WANTED
            assert row.id == 1


def test_a_row_may_count_versions_by_postgresqls_own_column(engine: sa.Engine) -> None:
    """
    ``xmin`` is no integer, whatever it is declared as, and psycopg would give bytes for it.
    """

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"

        id: Mapped[int] = mapped_column(primary_key=True)
        xmin: Mapped[int] = mapped_column(system=True, server_default=sa.FetchedValue())
        embedding: Mapped[Any] = mapped_column(VectorType(3, index=None))
        __mapper_args__ = {"version_id_col": xmin, "version_id_generator": False}  # noqa: RUF012  # as SQLAlchemy has it

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Note(id=1, embedding=[1, 2, 3]))
        session.commit()
        for last in (4, 5):
            note = session.get_one(Note, 1)
            note.embedding = [1, 2, last]
            session.commit()
        assert note.embedding == Vector([1, 2, 5])


@given(numbers=st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_printed_vector_is_the_same_vector(numbers: list[float]) -> None:
    """
    No bit of a 32-bit float is lost in the text.
    """
    import psycopg

    packed = Packer(len(numbers))(numbers)
    printed = printer(psycopg)(Packed).dump(packed).decode()
    assert np.array(printed[1:-1].split(","), dtype="f4").tolist() == unpacked(packed).to_list()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_cursors_that_send_no_parameters(
    engine: sa.Engine, database: Database, asynchronous: bool
) -> None:
    """
    psycopg's ClientCursor writes values into the statement, and reads text: both ways work.
    """
    import psycopg

    Base.metadata.create_all(engine)
    rows = [{"id": n, "embedding": np.array([n, 2, 1e-7], dtype="f4")} for n in range(1, 4)]
    search = nearest(sa.select(Thing.id, Thing.embedding), Thing.embedding, [3, 2, 1e-7], 2)
    wanted = [(3, Vector([3, 2, 1e-7])), (2, Vector([2, 2, 1e-7]))]
    if asynchronous:
        url = database.async_engine("psycopg").url
        there = create_async_engine(url, connect_args={"cursor_factory": psycopg.AsyncClientCursor})
        async with there.begin() as connection_:
            await connection_.execute(sa.insert(Thing), rows)
            found = (await connection_.execute(search)).all()
        await there.dispose()
    else:
        here = sa.create_engine(
            engine.url, connect_args={"cursor_factory": psycopg.ClientCursor}, poolclass=NullPool
        )
        with here.begin() as connection:
            connection.execute(sa.insert(Thing), rows[:1])
            assert bulk_copy(connection, Thing, rows[1:]) == 2
            found = connection.execute(search).all()
    assert [tuple(row)[:2] for row in found] == wanted


def test_statements_of_all_shapes(engine: sa.Engine) -> None:
    """
    Unions, subqueries, CTEs, INSERT from SELECT, server-side cursors, typed text, literals.
    """
    create(engine)
    vector = Thing.embedding
    with engine.begin() as connection:
        connection.execute(sa.insert(Thing), [{"id": n, "embedding": [1, 2, n]} for n in (3, 4)])
        both = sa.union_all(sa.select(vector), sa.select(vector))
        assert len(connection.execute(both).all()) == 4
        inner = sa.select(vector).subquery()
        assert WANTED in connection.scalars(sa.select(inner.c.embedding)).all()
        cte = sa.select(Thing.id, vector).cte()
        assert WANTED in connection.scalars(sa.select(cte.c.embedding)).all()
        source = sa.select(Thing.id + 10, vector)
        connection.execute(sa.insert(Thing).from_select(["id", "embedding"], source))
        streamed = connection.scalars(sa.select(vector), execution_options={"yield_per": 1})
        assert len(streamed.all()) == 4
        typed = sa.text("SELECT embedding FROM thing WHERE id = 3").columns(embedding=VectorType(3))
        assert connection.scalar(typed) == WANTED
        same = sa.select(Thing.id).where(vector == [1, 2, 3]).order_by(Thing.id)
        assert connection.scalars(same).all() == [3, 13]
        text = str(same.compile(engine, compile_kwargs={"literal_binds": True}))
        assert connection.scalars(sa.text(text)).all() == [3, 13]
        connection.execute(sa.update(Thing).values(embedding=[0, 0, 1]).where(Thing.id == 3))


def test_other_values_of_a_connection_are_not_touched(engine: sa.Engine) -> None:
    """
    bytea, arrays and another library's vectors travel as before.
    """
    create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Thing), {"id": 1, "embedding": [1, 2, 3]})
        connection.execute(sa.select(Thing.embedding))
        assert connection.scalar(sa.select(sa.literal(b"\x00\xff"))) == b"\x00\xff"
        raw = connection.exec_driver_sql("SELECT embedding, ARRAY[1], 'x'::name FROM thing").one()
        assert tuple(raw) == ("[1,2,3]", [1], "x")


def test_a_statement_is_made_once_for_all_drivers() -> None:
    """
    psycopg casts to the vector type, asyncpg by way of an array, others get a text.
    """
    query = sa.select(Thing.id).where(Thing.embedding.l2_distance([1, 2, 3]) < 1)
    drivers = {
        "psycopg": "%(embedding_1)s::VECTOR(3)",
        "asyncpg": "$1::REAL[]::VECTOR(3)",
        "psycopg2": "%(embedding_1)s::VECTOR(3)",
    }
    for driver, wanted in drivers.items():
        dialect = sa.make_url(f"postgresql+{driver}://").get_dialect()()
        assert wanted in str(query.compile(dialect=dialect)), driver
    process = VectorType(3).bind_processor(sa.make_url("postgresql+psycopg2://").get_dialect()())
    assert process(np.array([1, 2, 3])) == "[1.0,2.0,3.0]"


def test_a_type_that_has_packed_can_be_pickled() -> None:
    """
    Tables and MetaData go through pickle, also after the first vector was packed.
    """
    type_ = VectorType(3)
    packed = type_.packer()([1, 2, 3])
    table = sa.Table("thing", sa.MetaData(), sa.Column("embedding", type_))
    copied = pickle.loads(pickle.dumps(table.metadata)).tables["thing"].c.embedding.type
    assert copied.packer()([1, 2, 3]) == packed
    with pytest.raises(InvalidVector, match=r"vector\(3\)"):
        copied.packer()([0, 0, 0])
