"""
Embeddings by the number of vectors.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.orm import Session

from benchmarks import _vectors
from benchmarks._vectors_near import is_hnsw, table_of
from benchmarks._vectors_wire import Base, Ours, Theirs
from benchmarks.growth import ROWS, execute
from benchmarks.measure import Curve, Figure, grow
from pgultra.features.embeddings import bulk_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

SHARE = 100
AT_ONCE = 20_000


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    The nearest, the nearest of a hundredth of the rows, and loading.
    """
    execute(engine, "CREATE EXTENSION vector")
    table = table_of("single")
    [hnsw] = filter(is_hnsw, table.indexes)
    table.indexes.remove(hnsw)
    table.create(engine)
    Base.metadata.create_all(engine)
    queries = _vectors.clustered(200, 2)
    near, thinned, loaded = {}, {}, {}
    for size in ROWS:
        vectors = _vectors.clustered(size, 1)
        loaded[size] = _loading(engine, vectors)
        places = np.random.default_rng(3).integers(SHARE, size=size)
        with engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE item")
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {hnsw.name}")
            rows = (
                {"id": n, "embedding": each, f"one_in_{SHARE}": int(places[n])}
                for n, each in enumerate(vectors)
            )
            bulk_copy(connection, table, rows)
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '3GB'")
            hnsw.create(connection)
        execute(engine, "VACUUM ANALYZE item")
        with engine.connect() as connection:
            runs = _vectors.Runs(connection, queries, vectors)
            near[size] = runs.before_scan("", runs.search(table), table, None)
            thinned[size] = _thinned(runs, table)
    yield grow(f"the {_vectors.K} nearest of {_vectors.DIMENSIONS} dimensions", "vectors", near)
    yield grow(f"the {_vectors.K} nearest of 1 row in {SHARE}", "vectors", thinned)
    yield grow("loading", "vectors", loaded)


def _thinned(runs: _vectors.Runs, table: sa.Table) -> Figure:
    where = table.c[f"one_in_{SHARE}"] == 3
    ours, theirs = runs.turns(60, runs.search(table, where), runs.exact_by_hand(table, where))
    return runs.figure("", {"nearest": ours, "exact by hand": theirs}, None)


def _loading(engine: sa.Engine, vectors: np.ndarray) -> Figure:  # type: ignore[type-arg]  # of any shape
    """
    Each side once: a million of the other takes minutes, and no two runs differ by much.
    """
    execute(engine, "TRUNCATE ours, theirs", "CHECKPOINT")
    begun = time.perf_counter()
    with engine.begin() as connection:
        bulk_copy(connection, Ours, ({"id": n, "embedding": v} for n, v in enumerate(vectors)))
    middle = time.perf_counter()
    execute(engine, "CHECKPOINT")
    again = time.perf_counter()
    with Session(engine) as session:
        for first in range(0, len(vectors), AT_ONCE):
            some = enumerate(vectors[first : first + AT_ONCE], first)
            session.add_all([Theirs(id=n, embedding=v) for n, v in some])
            session.flush()
            session.expunge_all()
        session.commit()
    ours, theirs = middle - begun, time.perf_counter() - again
    execute(engine, "TRUNCATE ours, theirs")
    seconds = {"bulk_copy": ours, "pgvector's type, add_all": theirs}
    return Figure("", *seconds, seconds=seconds, spread={}, ratio=ours / theirs, rounds=1)
