"""
``nearest`` against exact scans, plain statements and its own text.

A search is timed as a host calls it, through SQLAlchemy, and once more through the driver
alone, where the server's own time shows.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

import pgultra
from benchmarks._vectors import DIMENSIONS, Runs, clustered, heaps
from benchmarks.measure import Bar
from pgultra.features.embeddings import Rules, VectorType, bulk_copy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.measure import Figure

MANY = 100_000


def table_of(precision: str) -> sa.Table:
    table = sa.Table(
        "item",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(f"one_in_{n}", sa.Integer, index=True) for n in (10, 100, 1000)),
        sa.Column("cluster", sa.Integer, index=True),
        sa.Column("embedding", VectorType(DIMENSIONS, precision=precision)),
    )
    pgultra.declare(table, Rules("embedding"))
    return table


def figures(engine: sa.Engine) -> Iterator[Figure]:
    """
    Without filters and with them, in single and half precision.
    """
    single, half = table_of("single"), table_of("half")
    vectors, queries = clustered(MANY, 1), clustered(1000, 2)
    indexes = {"item_embedding_hnsw": next(each for each in single.indexes if is_hnsw(each))}
    single.indexes -= set(indexes.values())
    indexes["item_half_hnsw"] = half_index(half)
    with engine.begin() as connection:
        single.create(connection)
    sizes = fill(engine, single, vectors, range(MANY), indexes)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = Runs(connection, queries, vectors)
        yield from run.against_exact(single, half)
        for n in (10, 100, 1000):
            where = single.c[f"one_in_{n}"] == 3
            yield run.filtered(single, f"nearest with a filter of 1 in {n}", where, Bar("<=", 1.5))
            within = single.c.one_in_1000 < 1000 // n
            yield run.filtered(single, f"nearest with a range of 1 in {n}", within, Bar("<=", 1.5))
        # Far from most queries: a filter that goes with the vectors is the index's worst case.
        # The index finds four of five then, with the plain statement too: no bar, and shown.
        for kept, word, least in ((20, "tenth", 0.75), (2, "hundredth", 0.95)):
            name = f"nearest within clusters, a {word} of the rows"
            yield run.filtered(single, name, single.c.cluster < kept, None, least)
        yield run.overhead(single)
        yield from run.precisions(single, half, sizes, lambda: remade(connection, indexes.values()))
        for index in indexes.values():
            index.drop(connection)
        connection.exec_driver_sql("TRUNCATE item")
    fill(engine, single, vectors, side_by_side(vectors), indexes)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield from Runs(connection, queries, vectors).side_by_side(single, half)


def fill(
    engine: sa.Engine,
    table: sa.Table,
    vectors: np.ndarray[Any, Any],
    order: Iterable[int],
    indexes: dict[str, sa.Index],
) -> dict[str, int]:
    """
    Load the rows in an order, build the indexes, and give the bytes of each.
    """
    random = np.random.default_rng(3)
    places = {f"one_in_{n}": random.integers(n, size=MANY) for n in (10, 100, 1000)}
    places["cluster"] = heaps(MANY, 1)
    rows = (
        {"id": int(n), "embedding": vectors[n], **{key: int(p[n]) for key, p in places.items()}}
        for n in order
    )
    sizes = {}
    with engine.begin() as connection:
        bulk_copy(connection, table, rows)
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
        for name, index in indexes.items():
            start = time.perf_counter()
            index.create(connection)
            sizes[name] = connection.scalar(sa.text(f"SELECT pg_relation_size('{name}')"))
            print(f"{name}: {time.perf_counter() - start:.0f} s, {sizes[name] >> 20} MB")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")  # until its commit is on disk, a row is not
        connection.exec_driver_sql("VACUUM ANALYZE item")  # taken for visible to all
    os.sync()  # or the system writes half a gigabyte beside the first searches
    return sizes


def remade(connection: sa.Connection, indexes: Iterable[sa.Index]) -> None:
    """
    Build each index once more: where a row begins in a graph is drawn by lot.
    """
    connection.exec_driver_sql("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        index.drop(connection)
        index.create(connection)
    connection.exec_driver_sql("RESET maintenance_work_mem")
    connection.exec_driver_sql("CHECKPOINT")


def side_by_side(vectors: np.ndarray[Any, Any]) -> list[int]:
    """
    The order in which like lies beside like, as in docs/how-to/load-vectors-in-bulk.md.
    """
    some = np.random.default_rng(1).choice(len(vectors), int(len(vectors) ** 0.5), replace=False)
    alike = vectors @ vectors[some].T
    return np.lexsort((alike.argmax(axis=1), alike[:, :24].argmax(axis=1))).tolist()


def is_hnsw(index: sa.Index) -> bool:
    return "hnsw" in str(index.name)


def half_index(half: sa.Table) -> sa.Index:
    index = next(filter(is_hnsw, half.indexes))
    index.name = "item_half_hnsw"
    return index
