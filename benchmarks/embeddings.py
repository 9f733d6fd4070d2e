"""
Embeddings: the wire format against pgvector's own type, and ``nearest`` against exact scans.

The vectors are made: latent dimension 24 in 384, 200 overlapping clusters. Well separated
clusters would flatter every index. How far they overlap is chosen so that IVFFlat with 316
lists finds what it found where the bars come from: about 0.83 with one probe, 0.96 with two.

A search is timed as a host calls it, through SQLAlchemy, and once more through the driver
alone, where the server's own time shows.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import sqlalchemy as sa
from pgvector.sqlalchemy import VECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import pgultra
from benchmarks.kernel import database
from benchmarks.measure import Bar, Figure, compare
from pgultra.features.embeddings import (
    Rules,
    Vector,
    VectorType,
    bulk_copy,
    distance,
    nearest,
    wire,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server

ROWS, MANY, DIMENSIONS, K, TURNS = 20_000, 100_000, 384, 10, 6
EFFORTS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200)


class Base(DeclarativeBase):
    pass


class Ours(Base):
    __tablename__ = "ours"

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Vector] = mapped_column(VectorType(DIMENSIONS, index=None))


class Theirs(Base):
    __tablename__ = "theirs"

    id: Mapped[int] = mapped_column(primary_key=True)
    embedding: Mapped[Any] = mapped_column(VECTOR(DIMENSIONS))


def figures(server: Server) -> Iterator[Figure]:
    """
    All figures of the room.
    """
    with database(server, "embeddings") as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER DATABASE " + engine.url.database + " SET jit = off"))
        Base.metadata.create_all(engine)
        yield from _wire(engine, clustered(ROWS, 1))
    with database(server, "nearest") as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER DATABASE " + engine.url.database + " SET jit = off"))
        engine.dispose()
        yield from _nearest(engine)


def clustered(count: int, seed: int) -> np.ndarray[Any, Any]:
    """
    Vectors as embeddings lie: on a thin sheet, in overlapping heaps.
    """
    shape = np.random.default_rng(7)
    centres, spread = shape.normal(size=(200, 24)), shape.normal(size=(24, DIMENSIONS))
    random = np.random.default_rng(seed)
    latent = centres[random.integers(200, size=count)] + 0.65 * random.normal(size=(count, 24))
    found = latent @ spread + 0.1 * random.normal(size=(count, DIMENSIONS))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("f4")


# -- the wire -----------------------------------------------------------------------------------


def _wire(engine: sa.Engine, vectors: np.ndarray[Any, Any]) -> Iterator[Figure]:
    rows = [{"id": n, "embedding": vector} for n, vector in enumerate(vectors)]

    def emptied(write: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with engine.begin() as connection:
                connection.execute(sa.text("TRUNCATE ours, theirs"))
            write()

        return run

    def add_all(model: Any) -> Callable[[], None]:
        made = [[model(**row) for row in rows] for _ in range(TURNS)]  # not what is measured

        def run() -> None:
            with Session(engine) as session:
                session.add_all(made.pop())
                session.commit()

        return emptied(run)

    def core() -> None:
        with engine.begin() as connection:
            connection.execute(sa.insert(Ours.__table__), rows)

    def copy() -> None:
        with engine.begin() as connection:
            bulk_copy(connection, Ours, rows)

    for name, call, limit in (
        ("ORM add_all", add_all(Ours), 5.5),
        ("Core executemany", emptied(core), 15),
        ("bulk_copy", emptied(copy), 35),
    ):
        theirs = ("pgvector's type, add_all", add_all(Theirs))
        yield compare(
            f"{name} of {ROWS} x {DIMENSIONS}",
            ours=(f"pgultra, {name}", call),
            theirs=theirs,
            bar=Bar(">=", limit),
            rounds=TURNS - 1,
            warm_up=1,
            inverse=True,
        )
    emptied(lambda: None)()
    for model in (Ours, Theirs):
        with engine.begin() as connection:
            connection.execute(sa.insert(model.__table__), rows)

    def read(model: Any) -> Callable[[], None]:
        def run() -> None:
            with Session(engine) as session:
                session.scalars(sa.select(model)).all()

        return run

    yield compare(
        f"ORM read of {ROWS} x {DIMENSIONS}",
        ours=("pgultra", read(Ours)),
        theirs=("pgvector's type", read(Theirs)),
        bar=Bar(">=", 7),
        rounds=7,
        inverse=True,
    )


# -- nearest ------------------------------------------------------------------------------------


def table_of(precision: str) -> sa.Table:
    table = sa.Table(
        "item",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(f"one_in_{n}", sa.Integer, index=True) for n in (10, 100, 1000)),
        sa.Column("embedding", VectorType(DIMENSIONS, precision=precision)),
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def _nearest(engine: sa.Engine) -> Iterator[Figure]:
    single, half = table_of("single"), table_of("half")
    vectors, queries = clustered(MANY, 1), clustered(200, 2)
    random = np.random.default_rng(3)
    places = {n: random.integers(n, size=MANY) for n in (10, 100, 1000)}
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS vector"))
        hnsw = {index.name: index for index in single.indexes if "hnsw" in str(index.name)}
        single.indexes -= set(hnsw.values())
        single.create(connection)
        bulk_copy(
            connection,
            single,
            (
                {
                    "id": n,
                    "embedding": vector,
                    **{f"one_in_{m}": int(p[n]) for m, p in places.items()},
                }
                for n, vector in enumerate(vectors)
            ),
        )
        connection.execute(sa.text("SET LOCAL maintenance_work_mem = '512MB'"))
        sizes = {}
        for table, name in ((single, "item_embedding_hnsw"), (half, "item_half_hnsw")):
            index = next(iter(hnsw.values())) if table is single else half_index(half)
            start = time.perf_counter()
            index.create(connection)
            sizes[name] = connection.scalar(sa.text(f"SELECT pg_relation_size('{name}')"))
            print(f"{name}: {time.perf_counter() - start:.0f} s, {sizes[name] >> 20} MB")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE item"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = Runs(connection, queries, vectors)
        yield from run.against_exact("nearest, k=10 of 100k", single)
        for n in (10, 100, 1000):
            yield from run.filtered(single, n)
        yield run.overhead(single)
        yield from run.precisions(single, half, sizes)


def half_index(half: sa.Table) -> sa.Index:
    index = next(each for each in half.indexes if "hnsw" in str(each.name))
    index.name = "item_half_hnsw"
    return index


class Runs:
    """
    Searches over the same queries, timed one by one in turns.
    """

    def __init__(
        self,
        connection: sa.Connection,
        queries: np.ndarray[Any, Any],
        vectors: np.ndarray[Any, Any],
    ) -> None:
        self.connection = connection
        self.queries = queries
        alike = queries @ vectors.T
        self.true = [set(np.argpartition(-row, K)[:K].tolist()) for row in alike]

    def recall(self, side: Callable[[Any], Any]) -> float:
        """
        The share of the true neighbours of all queries; it warms the cache as well.
        """
        pairs = zip(self.queries, self.true, strict=True)
        return statistics.mean(len(set(side(query)) & true) / K for query, true in pairs)

    def enough(self, table: sa.Table, least: float) -> tuple[int, float]:
        """
        The smallest effort that finds so much.
        """
        for effort in EFFORTS:
            found = self.recall(self.search(table, effort=effort))
            if found >= least:
                break
        return effort, found

    def by_driver(self, table: sa.Table, **options: Any) -> Callable[[Any], Any]:
        """
        What ``nearest`` sends, without SQLAlchemy.
        """
        statement = nearest(sa.select(table.c.id), table.c.embedding, self.queries[0], K, **options)
        compiled = statement.compile(self.connection.engine)
        [name] = [key for key, value in compiled.params.items() if hasattr(value, "shape")]
        text, pack = str(compiled), table.c.embedding.type.packer()  # type: ignore[attr-defined]
        driver: Any = self.connection.connection.driver_connection
        wire.register(driver, psycopg)
        return lambda query: [row[0] for row in driver.execute(text, {name: pack(query)})]

    def turns(self, count: int, *sides: Callable[[Any], Any]) -> list[tuple[float, list[Any]]]:
        """
        Median seconds and answers of each side; the sides take turns at each query.
        """
        times: list[list[float]] = [[] for _ in sides]
        answers: list[list[Any]] = [[] for _ in sides]
        for number, query in enumerate(self.queries[: count + 10]):
            for place, side in list(enumerate(sides))[:: 1 if number % 2 else -1]:
                start = time.perf_counter()
                found = side(query)
                taken = time.perf_counter() - start
                if number >= 10:
                    times[place].append(taken)
                    answers[place].append(found)
        return [(statistics.median(t), a) for t, a in zip(times, answers, strict=True)]

    def ids(self, statement: sa.Select[Any]) -> list[int]:
        return [row[0] for row in self.connection.execute(statement)]

    def search(self, table: sa.Table, where: Any = None, **options: Any) -> Callable[[Any], Any]:
        statement = sa.select(table.c.id)
        if where is not None:
            statement = statement.where(where)
        return lambda query: self.ids(nearest(statement, table.c.embedding, query, K, **options))

    def by_hand(self, table: sa.Table, where: Any) -> Callable[[Any], Any]:
        """
        The plain statement, as pgvector's manual writes it.
        """
        plain = sa.select(table.c.id).where(where)
        return lambda query: self.ids(plain.order_by(distance(table.c.embedding, query)).limit(K))

    def exact_by_hand(self, table: sa.Table, where: Any) -> Callable[[Any], Any]:
        """
        The filtered rows first, then their distances.
        """
        found = sa.select(table.c.id, table.c.embedding).where(where).cte()
        plain = sa.select(found.c.id)
        return lambda query: self.ids(
            plain.order_by(distance(found.c.embedding, query) + 0).limit(K)
        )

    def figure(
        self, name: str, sides: dict[str, tuple[float, Any]], bar: Bar | None, **more: Any
    ) -> Figure:
        (ours, one), (theirs, other) = list(sides.items())[:2]
        ratio = one[0] / other[0]
        inverse = bar is not None and bar.relation == ">="
        return Figure(
            name=name,
            ours=ours,
            theirs=theirs,
            seconds={label: side[0] for label, side in sides.items()},
            spread={},
            ratio=1 / ratio if inverse else ratio,
            rounds=len(one[1]),
            bar=bar,
            extra=more,
        )

    def against_exact(self, name: str, table: sa.Table) -> Iterator[Figure]:
        """
        One after the other: a scan of everything would push the index out of the cache.
        """
        effort, found = self.enough(table, 0.95)
        [exact] = self.turns(60, self.scan(table))
        for label, side in (
            ("nearest", self.search(table, effort=effort)),
            ("by the driver", self.by_driver(table, effort=effort)),
            ("nearest, effort 40", self.search(table)),
        ):
            recall = self.recall(side)
            [index] = self.turns(180, side)
            yield self.figure(
                name if label == "nearest" else f"{name}, {label}",
                {label: index, "exact scan": exact},
                Bar(">=", 50) if label == "nearest" else None,
                recall=recall,
                effort=effort,
                enough=found,
            )

    def scan(self, table: sa.Table) -> Callable[[Any], Any]:
        """
        The plain statement, which no index answers.
        """
        plain, column = sa.select(table.c.id), table.c.embedding
        return lambda query: self.ids(plain.order_by(distance(column, query) + 0).limit(K))

    def filtered(self, table: sa.Table, n: int) -> Iterator[Figure]:
        """
        Against the plain statement with iterative scan on, and against the filtered rows
        sorted; the better of the two is the bar.
        """
        where = table.c[f"one_in_{n}"] == 3
        self.connection.exec_driver_sql("SET hnsw.iterative_scan = relaxed_order")
        search = self.search(table, where)
        ours, plain = self.turns(60, search, self.by_hand(table, where))
        again, exact = self.turns(60, search, self.exact_by_hand(table, where))
        self.connection.exec_driver_sql("RESET hnsw.iterative_scan")
        pairs = {"plain statement": (ours, plain), "exact by hand": (again, exact)}
        label = min(pairs, key=lambda each: pairs[each][1][0])
        mine, better = pairs[label]
        yield self.figure(
            f"nearest with a filter of 1 in {n}",
            {"nearest": mine, label: better},
            Bar("<=", 1.5),
            recall=shared(again, exact),
            short=sum(len(each) < K for each in ours[1]),
            plain_ms=plain[0] * 1000,
            plain_recall=shared(plain, exact),
            exact_ms=exact[0] * 1000,
        )

    def overhead(self, table: sa.Table) -> Figure:
        """
        Building and running nearest, against its own text with SQLAlchemy's text().
        """
        statement = nearest(sa.select(table.c.id), table.c.embedding, self.queries[0], K)
        compiled = statement.compile(self.connection.engine)
        [name] = [key for key, value in compiled.params.items() if hasattr(value, "shape")]
        text = str(compiled).replace(f"%({name})s::VECTOR({DIMENSIONS})", ":query")
        assert "%(" not in text
        hand = sa.text(text).bindparams(sa.bindparam("query", type_=table.c.embedding.type))
        ours, theirs = self.turns(
            180,
            self.search(table),
            lambda query: [row[0] for row in self.connection.execute(hand, {"query": query})],
        )
        return self.figure(
            "nearest over the same SQL by hand", {"nearest": ours, "text()": theirs}, Bar("<=", 1.1)
        )

    def precisions(
        self, single: sa.Table, half: sa.Table, sizes: dict[str, int]
    ) -> Iterator[Figure]:
        """
        Each with the effort that it needs for the same recall.
        """
        efforts = [self.enough(table, 0.97) for table in (half, single)]
        for label, sides in (
            (
                "",
                [
                    self.search(t, effort=e)
                    for t, (e, _) in zip((half, single), efforts, strict=True)
                ],
            ),
            (
                ", by the driver",
                [
                    self.by_driver(t, effort=e)
                    for t, (e, _) in zip((half, single), efforts, strict=True)
                ],
            ),
        ):
            one, other = self.turns(180, *sides)
            yield self.figure(
                f"half against single precision{label}",
                {"half": one, "single": other},
                Bar("<=", 0.75),
                efforts=[effort for effort, _ in efforts],
                recalls=[found for _, found in efforts],
                size_ratio=sizes["item_half_hnsw"] / sizes["item_embedding_hnsw"],
            )


def shared(one: tuple[float, list[Any]], other: tuple[float, list[Any]]) -> float:
    """
    The share of the other's answers that the one has.
    """
    pairs = zip(one[1], other[1], strict=True)
    return statistics.mean(len(set(a) & set(b)) / len(b) for a, b in pairs)
