from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    with_loader_criteria,
)

import pgultra
from pgultra import DeclarationError
from pgultra.features.embeddings import (
    Embedding,
    InvalidVector,
    Rules,
    Vector,
    VectorType,
    build_index,
    bulk_copy,
    distance,
    nearest,
    rerank,
    similarity,
    within,
)
from pgultra.plan import Facts, Live, facts_of
from pgultra.sql import dialect
from tests.features.embeddings.sample import Article, Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

METRICS = {
    "cosine": lambda rows, one: 1 - rows @ one / np.linalg.norm(rows, axis=1) / np.linalg.norm(one),
    "l2": lambda rows, one: np.linalg.norm(rows - one, axis=1),
    "inner_product": lambda rows, one: -(rows @ one),
    "l1": lambda rows, one: np.abs(rows - one).sum(axis=1),
}
KINDS = [(metric, precision) for metric in METRICS for precision in ("single", "half", "bit")]


class Deletable:
    """
    Another room's word that a table is soft-deletable.
    """

    room = "elsewhere"

    def objects(self, table: Any) -> Iterator[Any]:
        yield from ()

    def facts(self, table: Any) -> Facts:
        return Facts(live=Live("gone"))


def table_for(metric: str, precision: str, *, live: bool = False, dimensions: int = 4) -> sa.Table:
    """
    A declared table with a filter column.
    """
    table = sa.Table(
        f"{metric}_{precision}",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer),
        sa.Column("gone", sa.Boolean),
        sa.Column("embedding", VectorType(dimensions, metric=metric, precision=precision)),
    )
    pgultra.declare(table, Rules("embedding"))
    if live:
        pgultra.declare(table, Deletable())
    return table


def vectors(count: int, dimensions: int, seed: int) -> np.ndarray[Any, Any]:
    """
    Vectors that lie in all directions, with ties among them.
    """
    random = np.random.default_rng(seed)
    return random.normal(size=(count, dimensions)).round(1).astype("f4") + np.float32(0.01)


def fill(connection: sa.Connection, table: sa.Table, rows: np.ndarray[Any, Any]) -> None:
    """
    Every tenth row has no vector.
    """
    connection.execute(
        table.insert(),
        [
            {"id": n, "kind": n % 7, "embedding": None if n % 10 == 9 else row}
            for n, row in enumerate(rows)
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "precision"), KINDS)
def test_nearest_is_the_exact_answer_on_small_tables(
    shared_engine: sa.Engine, metric: str, precision: str
) -> None:
    """
    For every metric, precision, filter and k; and plan="index" gives as many rows, in order.
    """

    @given(st.data())
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def check(data: st.DataObject) -> None:
        count = data.draw(st.integers(0, 500), label="rows")
        k = data.draw(st.integers(1, 520), label="k")
        kinds = data.draw(st.none() | st.sets(st.integers(0, 7)), label="kinds")
        rows = vectors(count, 4, data.draw(st.integers(0, 9), label="seed"))
        one = vectors(1, 4, 99)[0]
        table = table_for(metric, precision)
        with shared_engine.connect() as connection:
            table.metadata.create_all(connection)
            if count:
                fill(connection, table, rows)
            statement = sa.select(table.c.id)
            wanted = [n for n in range(count) if n % 10 != 9]
            if kinds is not None:
                statement = statement.where(table.c.kind.in_(kinds))
                wanted = [n for n in wanted if n % 7 in kinds]
            found = connection.execute(nearest(statement, table.c.embedding, one, k)).all()
            by_index = nearest(statement, table.c.embedding, one, k, plan="index")
            others = connection.execute(by_index).all()
            connection.rollback()
        away = METRICS[metric](rows[wanted].astype("f8"), one.astype("f8"))
        assert len(found) == min(k, len(wanted)) == len({row.id for row in found})
        near = np.sort(away)[:k]
        assert [row.distance for row in found] == pytest.approx(near.tolist(), abs=1e-4)
        assert [row.distance for row in found] == sorted(row.distance for row in found)
        assert len(others) == len({row.id for row in others}) == len(found)
        assert {row.id for row in others} <= set(wanted)
        own = dict(zip(wanted, away, strict=True))
        assert [row.distance for row in others] == pytest.approx(
            [own[row.id] for row in others], abs=1e-4
        )
        assert [row.distance for row in others] == sorted(row.distance for row in others)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "half", "bit"])
@pytest.mark.parametrize("plan", ["auto", "index"])
def test_k_rows_come_when_k_rows_match(
    connection: sa.Connection, precision: str, plan: Any
) -> None:
    """
    Also when the filter keeps one row in 300, and when k is above ef_search.
    """
    table = table_for("l2", precision, dimensions=8)
    table.metadata.create_all(connection)
    rows = vectors(6000, 8, 3)
    connection.execute(
        table.insert(), [{"id": n, "kind": n % 300, "embedding": row} for n, row in enumerate(rows)]
    )
    connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
    for query, k, wanted in (
        (sa.select(table).where(table.c.kind == 7), 10, 10),
        (sa.select(table).where(table.c.kind == 7), 50, 20),
        (sa.select(table).where(table.c.kind < 150), 100, 100),
        (sa.select(table), 100, 100),
        (sa.select(table), 1500, 1500),
        (sa.select(table), 7000, 6000),
    ):
        found = connection.execute(
            nearest(query, table.c.embedding, rows[5], k, plan=plan, exact_below=100)
        ).all()
        assert len(found) == wanted
        assert [row.distance for row in found] == sorted(row.distance for row in found)


@pytest.mark.parametrize("plan", ["auto", "index", "exact"])
def test_rows_without_a_vector_never_come(connection: sa.Connection, plan: Any) -> None:
    """
    Also where so many of them match that PostgreSQL sorts instead of walking the index.
    """
    table = table_for("l2", "single")
    table.metadata.create_all(connection)
    rows = vectors(40, 4, 3)
    connection.execute(
        table.insert(),
        [{"id": n, "kind": 1, "embedding": rows[n] if n < 4 else None} for n in range(6000)],
    )
    query = sa.select(table.c.id).where(table.c.kind == 1)
    nearest_four = nearest(query, table.c.embedding, rows[5], 10, plan=plan, exact_below=100)
    assert {row.id for row in connection.execute(nearest_four)} == {0, 1, 2, 3}
    none = sa.select(table.c.embedding).where(table.c.id == 77).scalar_subquery()
    like_nothing = nearest(query, table.c.embedding, none, 10, plan=plan, exact_below=100)
    assert connection.execute(like_nothing).all() == []


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "precision"), KINDS)
def test_the_index_is_used(connection: sa.Connection, metric: str, precision: str) -> None:
    """
    The query has the very expression of the index, for every metric and precision.
    """
    table = table_for(metric, precision, dimensions=8)
    table.metadata.create_all(connection)
    fill(connection, table, vectors(4000, 8, 1))
    connection.execute(sa.text(f"ANALYZE {table.name}"))
    statement = nearest(table, table.c.embedding, vectors(1, 8, 5)[0], k=5)
    text = explained(connection, statement)
    assert f"Index Scan using {table.name}_embedding_hnsw" in text
    assert "(never executed)" in text  # the exact branch


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "half"])
def test_what_is_not_executed_costs_nothing(connection: sa.Connection, precision: str) -> None:
    """
    Or PostgreSQL would compile the statement for each search of a table that is large enough.
    """
    table = table_for("cosine", precision, dimensions=8)
    table.metadata.create_all(connection)
    fill(connection, table, vectors(3000, 8, 1))
    connection.execute(sa.text(f"ANALYZE {table.name}"))
    cost: dict[str, float] = {}
    plans: Any = ("exact", "index", "auto")
    for plan in plans:
        search = nearest(table, table.c.embedding, vectors(1, 8, 5)[0], k=5, plan=plan)
        (line, *_) = explained(connection, search, "").split("\n")
        cost[plan] = float(re.findall(r"cost=[\d.]+\.\.([\d.]+)", line)[0])
    assert cost["index"] < cost["exact"]  # though the exact branch is one of its own
    assert cost["auto"] < cost["exact"]


def explained(connection: sa.Connection, statement: sa.Select[Any], how: str = "(ANALYZE)") -> str:
    """
    The plan, as it was executed.
    """
    compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
    rows = connection.execute(sa.text(f"EXPLAIN {how} {str(compiled).replace(':', chr(92) + ':')}"))
    return "\n".join(row[0] for row in rows)


@pytest.mark.slow
def test_few_matching_rows_are_sorted_without_the_index(connection: sa.Connection) -> None:
    """
    The count decides, within the statement.
    """
    table = table_for("l2", "single", dimensions=8)
    table.metadata.create_all(connection)
    fill(connection, table, vectors(4000, 8, 1))
    connection.execute(sa.text(f"ANALYZE {table.name}"))
    query = sa.select(table).where(table.c.kind == 3)
    text = explained(connection, nearest(query, table.c.embedding, [1.0] * 8, k=5))
    assert "Index Scan using l2_single_embedding_hnsw" not in text.replace(
        "(never executed)", ""
    ) or "never executed" in line_with(text, "l2_single_embedding_hnsw")
    text = explained(connection, nearest(query, table.c.embedding, [1.0] * 8, k=5, exact_below=100))
    assert "never executed" not in line_with(text, "l2_single_embedding_hnsw")


@pytest.mark.parametrize("schema", [None, "shop", 'O\'Brien "1" 50% $$ :x'])
def test_the_size_of_a_translated_table_decides(engine: sa.Engine, schema: str | None) -> None:
    """
    A small table is sorted in whole, also where a tenant's schema takes the place of the model's.
    """
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector SCHEMA pg_catalog"))
        if schema is not None:
            connection.execute(sa.schema.CreateSchema(schema))
    for declared in (None, "model"):
        table = table_for("l2", "single").to_metadata(sa.MetaData(), schema=declared)
        pgultra.declare(table, Rules("embedding"))
        translated = engine.execution_options(schema_translate_map={declared: schema})
        with translated.begin() as connection:
            table.metadata.drop_all(connection)
            table.metadata.create_all(connection)
            fill(connection, table, vectors(300, 4, 1))
            result = connection.execute(nearest(table, table.c.embedding, [1.0] * 4, k=5))
            text, values = result.context.statement, result.context.parameters[0]
            assert len(result.all()) == 5
            driver: Any = connection.connection.driver_connection
            plan = [row[0] for row in driver.execute(f"EXPLAIN (ANALYZE) {text}", values)]
            assert "rows=300" in exact_scan("\n".join(plan))  # of the whole table


def exact_scan(text: str) -> str:
    """
    The line of a plan where the exact branch reads the table.
    """
    within = text.partition("Subquery Scan on pgultra_exact")[2]
    return next(each for each in within.splitlines() if "Scan " in each and "CTE" not in each)


def line_with(text: str, word: str) -> str:
    """
    The line of a plan that has a word.
    """
    return next((line for line in text.splitlines() if word in line), "never executed")


@pytest.mark.slow
def test_deleted_rows_do_not_come(connection: sa.Connection) -> None:
    """
    The table's facts say what is live; k come where nine of ten rows are gone, or are asked for.
    """
    table = table_for("l2", "single", live=True)
    table.metadata.create_all(connection)
    fill(connection, table, vectors(5000, 4, 1))
    connection.execute(table.update().where(table.c.id % 10 != 3).values(gone=True))
    connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
    plans: Any = ("auto", "index", "exact")
    for plan in plans:
        for option, live in ((None, {True}), ("exclude", {True}), ("only", {False})):
            asked = sa.select(table).execution_options(**{"pgultra.deleted": option})
            for k in (10, 300):
                found = connection.execute(
                    nearest(asked, table.c.embedding, [0.0] * 4, k, plan=plan)
                ).all()
                assert len(found) == len({row.id for row in found}) == k
                assert {row.id % 10 == 3 for row in found} == live
        asked = sa.select(table).execution_options(**{"pgultra.deleted": "include"})
        every = nearest(asked, table.c.embedding, [0.0] * 4, 300, plan=plan)
        assert {row.id % 10 == 3 for row in connection.execute(every)} == {False, True}


@pytest.mark.once
def test_few_live_rows_are_found_by_their_index(connection: sa.Connection) -> None:
    """
    With plan="exact", as the reference says: neither the table nor the other index is read.
    """
    table = table_for("l2", "single", live=True)
    sa.Index("l2_live", table.c.id, postgresql_where=table.c.gone.is_(None))
    table.metadata.create_all(connection)
    fill(connection, table, vectors(1500, 4, 1))
    connection.execute(table.update().where(table.c.id % 100 != 3).values(gone=True))
    connection.execute(sa.text(f"ANALYZE {table.name}"))
    search = nearest(table, table.c.embedding, [1.0] * 4, k=5, plan="exact")
    text = explained(connection, search)
    assert re.search(r"Index Scan (using|on) l2_live ", text)
    assert "hnsw" not in text
    assert len(connection.execute(search).all()) == 5


@pytest.mark.slow
@pytest.mark.once
def test_a_filter_for_what_is_far_away(connection: sa.Connection) -> None:
    """
    All matching rows lie in a heap far from the query, behind 16,000 others: k come, the nearest.
    """
    table = table_for("l2", "single", dimensions=8)
    table.metadata.create_all(connection)
    connection.execute(sa.text("DROP INDEX l2_single_embedding_hnsw"))
    rows = np.random.default_rng(7).normal(size=(20_000, 8)).astype("f4")
    kinds = np.arange(20_000) % 5
    rows[:, 0] += 30 * kinds
    bulk_copy(
        connection,
        table,
        (
            {"id": n, "kind": int(kind), "gone": None, "embedding": row}
            for n, (kind, row) in enumerate(zip(kinds, rows, strict=True))
        ),
    )
    build_index(connection, table.c.embedding)
    connection.execute(sa.text(f"ANALYZE {table.name}"))
    plans: Any = ("auto", "index")
    for kind, plan in itertools.product((4, 2), plans):
        far = sa.select(table.c.id).where(table.c.kind == kind)
        search = nearest(far, table.c.embedding, np.zeros(8), plan=plan)
        found = connection.execute(search).all()
        away = np.sort(np.linalg.norm(rows[kinds == kind], axis=1))[:10]
        assert [row.distance for row in found] == pytest.approx(away.tolist(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.once
def test_conditions_of_the_orm_are_counted_too(connection: sa.Connection) -> None:
    """
    A subclass in its parent's table, criteria of a statement: few such rows are sorted.
    """

    class Host(DeclarativeBase):
        pass

    class Note(Host):
        __tablename__ = "note"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "often"}  # noqa: RUF012  # as SQLAlchemy has it
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        embedding: Mapped[Vector | None] = Embedding(8, metric="l2")

    class Rare(Note):
        __mapper_args__ = {"polymorphic_identity": "rare"}  # noqa: RUF012  # as SQLAlchemy has it

    Host.metadata.create_all(connection)
    rows = vectors(4000, 8, 1)
    connection.execute(
        Note.__table__.insert(),  # type: ignore[attr-defined]  # a Table, typed as FromClause
        [
            {"id": n, "kind": "often" if n % 20 else "rare", "embedding": row}
            for n, row in enumerate(rows)
        ],
    )
    connection.execute(sa.text("ANALYZE note"))
    criteria = with_loader_criteria(Note, Note.kind == "rare")
    for statement, few in (
        (Note, False),
        (Rare, True),
        (sa.select(Rare.id), True),
        (sa.select(Note).options(criteria), True),
    ):
        search: Any = nearest(statement, Note.embedding, rows[5], k=5)
        scan = exact_scan(explained(connection, search))
        assert few == ("never executed" not in scan)


@pytest.mark.slow
def test_row_security_does_not_leave_it_short(owner_engine: sa.Engine, engine: sa.Engine) -> None:
    """
    A policy that hides nine rows of ten still leaves k.
    """
    table = table_for("l2", "single")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION vector"))
    table.metadata.create_all(owner_engine)
    with owner_engine.begin() as connection:
        fill(connection, table, vectors(5000, 4, 1))
        connection.execute(sa.text("ALTER TABLE l2_single ENABLE ROW LEVEL SECURITY"))
        connection.execute(sa.text("ALTER TABLE l2_single FORCE ROW LEVEL SECURITY"))
        connection.execute(sa.text("CREATE POLICY p ON l2_single USING (id % 10 = 3)"))
    with owner_engine.begin() as connection:
        found = connection.execute(nearest(table, table.c.embedding, [0.1] * 4, k=200)).all()
    assert len(found) == 200
    assert {row.id % 10 for row in found} == {3}


async def test_sync_and_async_sessions_give_the_same(engine: sa.Engine, database: Database) -> None:
    """
    Entities with distances, through psycopg and asyncpg, for a class and its alias.
    """
    Base.metadata.create_all(engine)
    other = aliased(Article)
    statements: list[Any] = [
        nearest(sa.select(Article).where(Article.language == "en"), Article.embedding, [1, 2, 3]),
        nearest(Article, Article.in_half, [1, 2, 3]),
        nearest(sa.select(other), other.in_bits, [1, 2, 3], 3),
        nearest(sa.select(Article.title), Article.embedding, np.array([1, 2, 3]), 2),
    ]
    with Session(engine) as session:
        for n in range(1, 8):
            value = [1, 2, n]
            session.add(Article(title=f"t{n}", embedding=value, in_half=value, in_bits=value))
        session.commit()
        first = session.execute(statements[0]).all()
        assert [article.title for article, _ in first][:2] == ["t3", "t4"]
        sync = [[tuple(map(str, row[1:])) for row in session.execute(s)] for s in statements]
    async with AsyncSession(database.async_engine()) as session_:
        for statement, wanted in zip(statements, sync, strict=True):
            rows = (await session_.execute(statement)).all()
            assert [tuple(map(str, row[1:])) for row in rows] == wanted


def test_the_query_may_be_another_rows_vector(connection: sa.Connection) -> None:
    """
    More like this: an expression stands where the vector stands.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(Article(id=n, title="t", embedding=[1, 2, n]) for n in range(1, 9))
        session.flush()
        this = sa.select(Article.embedding).where(Article.id == 4).scalar_subquery()
        others = sa.select(Article).where(Article.id != 4)
        found = session.execute(nearest(others, Article.embedding, this, 2)).all()
        assert {article.id for article, _ in found} == {3, 5}


async def test_a_statement_made_once_is_run_with_many_vectors(
    engine: sa.Engine, database: Database
) -> None:
    """
    A parameter stands where the vector stands, with and without a type of its own.
    """
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            Article(id=n, title="t", embedding=[1, 2, n], in_half=[1, 2, n]) for n in range(1, 9)
        )
        session.commit()
        typed = sa.bindparam("query", type_=VectorType(3))
        for column in (Article.embedding, Article.in_half):
            for query in (sa.bindparam("query"), typed):
                statement = nearest(sa.select(Article.id), column, query, 1)
                for n, form in ((3, list), (5, np.array), (3, Vector)):
                    given = {"query": form([1, 2, n])}
                    assert session.scalars(statement, given).one() == n
                with pytest.raises(sa.exc.StatementError, match="the given one has 4"):
                    session.execute(statement, {"query": [1, 2, 3, 4]})
        close = sa.select(Article.id).where(within(Article.embedding, sa.bindparam("query"), 1e-6))
        assert session.scalars(close, {"query": [1, 2, 4]}).all() == [4]
    async with AsyncSession(database.async_engine()) as session_:
        for n in (4, 6):
            assert await session_.scalar(statement, {"query": [1, 2, n]}) == n


def test_settings_do_not_outlive_the_transaction(engine: sa.Engine) -> None:
    """
    Under a pool in transaction mode the next host sees nothing of them.
    """
    table = table_for("l2", "single")
    table.metadata.create_all(engine)
    show = sa.text("SELECT current_setting('hnsw.ef_search', true)")
    with engine.connect() as connection:
        before = connection.scalar(show)
        connection.rollback()
        connection.execute(nearest(table, table.c.embedding, [1] * 4, k=77, plan="index"))
        connection.rollback()
        assert connection.scalar(show) in (before, "40", "")


def test_what_nearest_does_itself_is_refused() -> None:
    """
    An order, a limit or groups in the statement would be meant otherwise.
    """
    plain = sa.select(Article)
    for statement in (
        plain.order_by(Article.id),
        plain.limit(3),
        plain.offset(3),
        plain.group_by(Article.id),
        plain.distinct(),
    ):
        with pytest.raises(DeclarationError, match="by itself"):
            nearest(statement, Article.embedding, [1, 2, 3])
    with pytest.raises(DeclarationError, match="not a vector column"):
        nearest(plain, Article.title, [1, 2, 3])
    with pytest.raises(DeclarationError, match="k=0 is not"):
        nearest(plain, Article.embedding, [1, 2, 3], 0)
    with pytest.raises(DeclarationError, match="plan="):
        nearest(plain, Article.embedding, [1, 2, 3], plan="best")  # type: ignore[call-overload]
    with pytest.raises(InvalidVector, match="3 dimensions"):
        nearest(plain, Article.embedding, [1, 2])
    keyless = sa.Table("k", sa.MetaData(), sa.Column("embedding", VectorType(3)))
    with pytest.raises(DeclarationError, match="primary key"):
        nearest(keyless, keyless.c.embedding, [1, 2, 3])


def test_similarity_within_and_rerank(connection: sa.Connection) -> None:
    """
    The expressions agree with arithmetic, and compose with nearest.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(
            Article(id=n, title="t", embedding=[1, 0, n], in_half=[1, 0, n]) for n in range(6)
        )
        session.flush()
        one = sa.select(
            similarity(Article.embedding, [1, 0, 0]),
            distance(Article.embedding, [1, 0, 0]),
            similarity(Article.in_half, [1, 0, 0]),
        ).where(Article.id == 1)
        cosine, away, near = session.execute(one).one()
        assert (cosine, away, near) == pytest.approx((0.5**0.5, 1 - 0.5**0.5, 0.5))
        close = sa.select(Article).where(within(Article.embedding, [1, 0, 0], 0.5))
        assert {a.id for a, _ in session.execute(nearest(close, Article.embedding, [1, 0, 0]))} == {
            0,
            1,
        }
        some = sa.select(Article).where(Article.id.in_([5, 3, 4]))
        ranked = session.execute(rerank(some, Article.embedding, [1, 0, 0], 2)).all()
        assert [article.id for article, _ in ranked] == [3, 4]


def test_the_ranker_gives_keys_and_ranks(connection: sa.Connection) -> None:
    """
    What search.hybrid takes: the primary key under its own name, and the rank.
    """
    Base.metadata.create_all(connection)
    with Session(connection) as session:
        session.add_all(Article(id=n, title="t", embedding=[1, 2, n]) for n in range(1, 9))
        session.flush()
        other = aliased(Article)
        ranker = facts_of(Article.__table__).rankers[0]  # type: ignore[arg-type]
        for statement in (
            sa.select(Article).where(Article.id > 2),
            sa.select(other).where(other.id > 2),
            sa.select(Article.__table__).where(Article.__table__.c.id > 2),
        ):
            found = ranker.candidates(statement, [1, 2, 3], 2).subquery()
            rows = session.execute(sa.select(found).order_by(found.c.rank)).all()
            assert [(row.id, row.rank) for row in rows] == [(3, 1), (4, 2)]
        with pytest.raises(ValueError, match="does not select from"):
            ranker.candidates(sa.select(sa.literal(1)), [1, 2, 3], 2)


def test_the_statement_is_as_public_methods_make_it() -> None:
    """
    What is put into a Select's private places is what its methods would put there.
    """
    chosen = sa.select(Article.id).where(Article.id > 3)
    made = nearest(chosen, Article.embedding, [1, 2, 3], 4)
    condition, order = made._where_criteria[-1], made._order_by_clauses
    plain: Any = chosen.add_columns(made._raw_columns[-1]).where(condition).order_by(*order)
    assert str(made.compile(dialect=dialect())) == str(plain.compile(dialect=dialect()))
    assert made.selected_columns.keys() == plain.selected_columns.keys() == ["id", "distance"]
