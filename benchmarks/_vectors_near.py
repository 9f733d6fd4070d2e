"""
``nearest`` against exact scans, plain statements and its own text.

A search is timed as a host calls it, through SQLAlchemy, and once more through the driver
alone, where the server's own time shows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

import pgultra
from benchmarks._vectors import DIMENSIONS, Runs, clustered
from pgultra.features.embeddings import Rules, VectorType, bulk_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Figure

MANY = 100_000


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


def figures(engine: sa.Engine) -> Iterator[Figure]:
    """
    Without filters and with them, in single and half precision.
    """
    single, half = table_of("single"), table_of("half")
    vectors, queries = clustered(MANY, 1), clustered(1000, 2)
    random = np.random.default_rng(3)
    places = {n: random.integers(n, size=MANY) for n in (10, 100, 1000)}
    with engine.begin() as connection:
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
        connection.execute(sa.text("CHECKPOINT"))  # until its commit is on disk, a row is not
        connection.execute(sa.text("VACUUM ANALYZE item"))  # taken for visible to all
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = Runs(connection, queries, vectors)
        yield from run.against_exact(single, half)
        for n in (10, 100, 1000):
            yield from run.filtered(single, n)
        yield run.overhead(single)
        yield from run.precisions(single, half, sizes)


def half_index(half: sa.Table) -> sa.Index:
    index = next(each for each in half.indexes if "hnsw" in str(each.name))
    index.name = "item_half_hnsw"
    return index
