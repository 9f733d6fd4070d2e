"""
What the benchmarks of embeddings share: their vectors, and the searches that are timed.

The vectors are made: latent dimension 24 in 384, 200 overlapping clusters. Well separated
clusters would flatter every index. How far they overlap is chosen so that IVFFlat with 316
lists finds what it found where the bars come from: about 0.83 with one probe, 0.96 with two.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import sqlalchemy as sa

from benchmarks._turns import Timed, Turns
from benchmarks.measure import Bar, Condition
from pgultra.features.embeddings import distance, nearest, wire
from pgultra.features.embeddings.driver import register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement

    from benchmarks._turns import Blocks
    from benchmarks.measure import Figure

DIMENSIONS, K = 384, 10
HEAPS = 200
BUILDS = 3
USUAL = 0.99
"""About the recall of the effort that pgvector and ``nearest`` take unless told another."""
EFFORTS = (*range(10, 101), 120, 150, 200)


def clustered(count: int, seed: int) -> np.ndarray[Any, Any]:
    """
    Vectors as embeddings lie: on a thin sheet, in overlapping heaps.
    """
    shape = np.random.default_rng(7)
    centres, spread = shape.normal(size=(HEAPS, 24)), shape.normal(size=(24, DIMENSIONS))
    random = np.random.default_rng(seed)
    which = random.integers(HEAPS, size=count)
    latent = centres[which] + 0.65 * random.normal(size=(count, 24))
    found = latent @ spread + 0.1 * random.normal(size=(count, DIMENSIONS))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("f4")


def heaps(count: int, seed: int) -> np.ndarray[Any, Any]:
    """
    Which heap each of the same vectors lies in.
    """
    return np.random.default_rng(seed).integers(HEAPS, size=count)


class Bare(sa.types.UserDefinedType[Any]):
    """
    A vector that is sent as ours is, and has no cast of its own.
    """

    cache_ok = True

    def __init__(self, packer: wire.Packer) -> None:
        self.packer = packer

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:
        return self.packer


class Runs(Turns):
    """
    Searches over the same queries, timed one by one in turns.
    """

    def __init__(
        self,
        connection: sa.Connection,
        queries: np.ndarray[Any, Any],
        vectors: np.ndarray[Any, Any],
    ) -> None:
        super().__init__(connection, queries)
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
        known: dict[int, float] = {}

        def recall(effort: int) -> float:
            known[effort] = self.recall(self.search(table, effort=effort))
            return known[effort]

        place = bisect_left(EFFORTS, least, key=recall)
        effort = EFFORTS[min(place, len(EFFORTS) - 1)]
        return effort, known.get(effort) or recall(effort)

    def by_driver(self, table: sa.Table, **options: Any) -> Callable[[Any], Any]:
        """
        What ``nearest`` sends, without SQLAlchemy.
        """
        statement = nearest(sa.select(table.c.id), table.c.embedding, self.queries[0], K, **options)
        compiled = statement.compile(self.connection.engine)
        [name] = [key for key, value in compiled.params.items() if isinstance(value, wire.Packed)]
        text, pack = str(compiled), table.c.embedding.type.packer()  # type: ignore[attr-defined]  # our own type
        driver: Any = self.connection.connection.driver_connection
        register(driver, psycopg)
        run = driver.execute
        return lambda query: [row[0] for row in run(text, {name: pack(query)}).fetchall()]

    def ids(self, statement: sa.Select[Any]) -> list[int]:
        return [row[0] for row in self.connection.execute(statement).all()]

    def search(self, table: sa.Table, where: Any = None, **options: Any) -> Callable[[Any], Any]:
        statement = sa.select(table.c.id)
        if where is not None:
            statement = statement.where(where)
        return lambda query: self.ids(nearest(statement, table.c.embedding, query, K, **options))

    def made_once(self, table: sa.Table, **options: Any) -> Callable[[Any], Any]:
        """
        The same, with one statement for all vectors.
        """
        column, query = table.c.embedding, sa.bindparam("query")
        statement = nearest(sa.select(table.c.id), column, query, K, **options)
        run = self.connection.execute
        return lambda vector: [row[0] for row in run(statement, {"query": vector}).all()]

    def by_hand(self, plain: sa.Select[Any], table: sa.Table) -> Callable[[Any], Any]:
        """
        The plain statement, as pgvector's manual writes it.
        """
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

    def against_exact(self, single: sa.Table, half: sa.Table) -> Iterator[Figure]:
        """
        Each by itself, since a scan of everything pushes the index out of the cache.

        The scan has one process, as where the bar comes from; with all that PostgreSQL would
        give it, its time stands beside.
        """
        name, plain = "nearest, k=10 of 100k", sa.select(single.c.id)
        yield from self.forms(name, single, half, Bar(">=", 50))
        for label, side in (
            (", effort 40", self.search(single)),
            (", plain statement, ef_search 40", self.by_hand(plain, single)),
        ):
            yield self.before_scan(name + label, side, single, None)

    def side_by_side(self, single: sa.Table, half: sa.Table) -> Iterator[Figure]:
        """
        Where the rows lie beside those that are like them.
        """
        yield from self.forms("nearest, k=10 of 100k, like beside like", single, half, None)

    def forms(
        self, name: str, single: sa.Table, half: sa.Table, bar: Bar | None
    ) -> Iterator[Figure]:
        """
        Both precisions; the statement built each time, which has the bar, made once, and bare.
        """
        for table, precision in ((single, ""), (half, ", half precision")):
            effort, _ = self.enough(table, 0.95)
            for label, side in (
                ("", self.search(table, effort=effort)),
                (", made once", self.made_once(table, effort=effort)),
                (", by the driver", self.by_driver(table, effort=effort)),
            ):
                judged = None if label else bar
                yield self.before_scan(
                    name + precision + label, side, single, judged, effort=effort
                )

    def before_scan(
        self,
        name: str,
        side: Callable[[Any], Any],
        table: sa.Table,
        bar: Bar | None,
        *,
        effort: int | None = None,
    ) -> Figure:
        """
        A search between scans of everything: it takes turns with them, in blocks.
        """
        recall, scan = self.recall(side), self.scan(table)
        [parallel] = self.turns(20, scan)
        self.connection.exec_driver_sql("SET max_parallel_workers_per_gather = 0")
        scans, blocks = [self.turns(10, scan)[0]], []
        for _ in range(3):
            blocks.append(self.block(side))
            scans += self.turns(10, scan)
        self.connection.exec_driver_sql("RESET max_parallel_workers_per_gather")
        note = (
            f"effort={effort}, the least that finds so much; by as many processes as PostgreSQL "
            f"gives it the scan took {parallel.median * 1000:.3g} ms"
        )
        return self.figure(
            name,
            {"nearest": Timed.of(blocks), "exact scan": Timed.of(scans)},
            bar,
            inverse=True,
            note="" if effort is None else note,
            conditions=() if effort is None else (Condition("recall@10", recall, ">=", 0.95),),
            recall=recall,
            effort=effort,
            parallel_scan_ms=parallel.median * 1000,
        )

    def scan(self, table: sa.Table) -> Callable[[Any], Any]:
        """
        The plain statement, which no index answers.
        """
        plain, column = sa.select(table.c.id), table.c.embedding
        return lambda query: self.ids(plain.order_by(distance(column, query) + 0).limit(K))

    def filtered(
        self,
        table: sa.Table,
        name: str,
        where: ColumnElement[bool],
        bar: Bar | None,
        least: float = 0.95,
    ) -> Figure:
        """
        Against the plain statement with iterative scan on, and against the filtered rows
        sorted; the better of the two is the bar.
        """
        self.connection.exec_driver_sql("SET hnsw.iterative_scan = relaxed_order")
        search = self.search(table, where)
        ours, plain = self.turns(
            200, search, self.by_hand(sa.select(table.c.id).where(where), table)
        )
        again, exact = self.turns(200, search, self.exact_by_hand(table, where))
        self.connection.exec_driver_sql("RESET hnsw.iterative_scan")
        pairs = {"plain statement": (ours, plain), "exact by hand": (again, exact)}
        # A plain statement that comes short is no better way.
        whole = shared(plain.answers, exact.answers) >= 0.95
        label = min(
            (each for each in pairs if whole or each != "plain statement"),
            key=lambda each: pairs[each][1].median,
        )
        mine, better = pairs[label]
        recall = shared(again.answers, exact.answers)
        found = Condition("recall@10", recall, ">=", least)
        whole_answers = Condition("searches with fewer rows", short(ours), "<=", 0)
        return self.figure(
            name,
            {"nearest": mine, label: better},
            bar,
            conditions=(found, whole_answers),
            note=f"recall of nearest {recall:.2f}; exact by hand {exact.median * 1000:.3g} ms; the "
            f"plain statement with iterative scan {plain.median * 1000:.3g} ms at a recall of "
            f"{shared(plain.answers, exact.answers):.2f}, {short(plain)} of {len(plain.answers)} "
            f"with fewer than {K} rows",
        )

    def overhead(self, table: sa.Table) -> Figure:
        """
        Building and running nearest, against its own text with SQLAlchemy's text().
        """
        statement = nearest(sa.select(table.c.id), table.c.embedding, self.queries[0], K)
        compiled = statement.compile(self.connection.engine)
        [name] = [key for key, value in compiled.params.items() if isinstance(value, wire.Packed)]
        text = str(compiled).replace(f"%({name})s::VECTOR", "CAST(:query AS VECTOR)")
        assert "%(" not in text
        register(self.connection.connection.driver_connection, psycopg)
        bare = Bare(table.c.embedding.type.packer())  # type: ignore[attr-defined]  # our own type
        hand = sa.text(text).bindparams(sa.bindparam("query", type_=bare))
        run = self.connection.execute
        ours, theirs = self.turns(
            600,
            self.search(table),
            lambda query: [row[0] for row in run(hand, {"query": query}).all()],
        )
        return self.figure(
            "nearest over the same SQL by hand", {"nearest": ours, "text()": theirs}, Bar("<=", 1.1)
        )

    def precisions(
        self,
        single: sa.Table,
        half: sa.Table,
        sizes: dict[str, int],
        rebuild: Callable[[], None],
    ) -> Iterator[Figure]:
        """
        Each with the effort that it needs for the same recall: what the usual effort (40) finds,
        and less.

        The bar holds for the first: the lower the recall, the more of the time is not the index's
        but that of everything around it, which is the same for both. Half the usual effort, which
        nobody gets who does not ask for it, is shown without a bar. How much effort a graph needs
        differs by a third from one build to the next, so there are three of each.
        """
        tables = (half, single)
        size = sizes["item_half_hnsw"] / sizes["item_embedding_hnsw"]
        kinds = {"": self.search, ", made once": self.made_once, ", by the driver": self.by_driver}
        blocks: dict[tuple[float, str], Blocks] = {}
        efforts: dict[float, list[str]] = {}
        for build in range(BUILDS):
            if build:
                rebuild()
            for recall in (0.97, USUAL):
                enough = [self.enough(table, recall) for table in tables]
                said = " and ".join(f"{effort} ({found:.3f})" for effort, found in enough)
                efforts.setdefault(recall, []).append(said)
                for label, kind in kinds.items():
                    sides = [kind(t, effort=e) for t, (e, _) in zip(tables, enough, strict=True)]
                    found = self.rounds(3, dict(zip(("half", "single"), sides, strict=True)))
                    kept = blocks.setdefault((recall, label), {"half": [], "single": []})
                    for side, more in found.items():
                        kept[side] += more
        for (recall, label), each in blocks.items():
            yield self.paired(
                f"half against single precision at recall {recall}{label}",
                each,
                None if recall < USUAL or "once" in label else Bar("<=", 0.75),
                conditions=(Condition("size of the index", size, "<=", 0.6),),
                note=f"{BUILDS} builds of each index; efforts (and what they found): "
                + ", ".join(efforts[recall]),
            )


def shared(one: list[Any], other: list[Any]) -> float:
    """
    The share of the other's answers that the one has.
    """
    pairs = zip(one, other, strict=True)
    return statistics.mean(len(set(a) & set(b)) / len(b) for a, b in pairs)


def short(side: Timed) -> int:
    """
    How many of its answers have fewer rows than were asked for.
    """
    return sum(len(each) < K for each in side.answers)
