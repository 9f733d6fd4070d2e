"""
How the headline figure of each room grows: the same two sides at 10k, 100k and 1M rows.

Objects are counted in hundreds: no schema has a million triggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks import measure
from benchmarks.kernel import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.server import Server

__all__ = ["ROOMS", "curves"]

ROWS = (10_000, 100_000, 1_000_000)
OBJECTS = (35, 350, 1_050)


def curves(room: str, server: Server) -> Iterator[measure.Curve]:
    """
    A room's curves; nothing where it has none.
    """
    if room in ROOMS:
        with database(server, f"{room}_growth") as engine:
            yield ROOMS[room](engine)


def _kernel(engine: sa.Engine) -> measure.Curve:
    from benchmarks import kernel

    taken = {}
    for size in OBJECTS:
        tables = size * 3 // 7
        bare, declared = kernel.bare(tables), kernel.declared(tables)
        bare.info["pgultra.app"] = "stranger"
        declared.create_all(engine)
        with engine.connect() as connection:
            taken[size] = measure.compare(
                "",
                ours=("pgultra", lambda: kernel.differences(connection, declared)),  # noqa: B023  # called within the turn
                theirs=("Alembic, tables alone", lambda: kernel.without(connection, bare)),  # noqa: B023  # called within the turn
                rounds=5,
            )
        declared.drop_all(engine)
    return measure.grow("autogenerate with nothing to do", "objects", taken)


def _soft_delete(engine: sa.Engine) -> measure.Curve:
    from benchmarks.soft_delete import models

    ours, plain = models(1)
    ours.metadata.create_all(engine)
    _execute(engine, f"CREATE INDEX ON {ours.__tablename__} (title)")
    taken, before = {}, 0
    for size in ROWS:
        fill = f"""INSERT INTO {ours.__tablename__} (id, title, deleted_at)
            SELECT g, 'title ' || g / 10, CASE WHEN g % 2 = 0 THEN now() END
            FROM generate_series({before + 1}, {size}) AS g"""
        _execute(engine, fill, "VACUUM ANALYZE")
        before = size
        wanted = f"title {size // 20}"
        with Session(engine) as session:
            filtered = sa.select(ours.id).where(ours.title == wanted)
            by_hand = sa.select(plain.id).where(plain.title == wanted, plain.deleted_at.is_(None))
            taken[size] = measure.compare(
                "",
                ours=("automatic filter", lambda: session.execute(filtered).all()),  # noqa: B023  # called within the turn
                theirs=("WHERE by hand", lambda: session.execute(by_hand).all()),  # noqa: B023  # called within the turn
                inner=20,
            )
    return measure.grow("live rows by an indexed column", "rows", taken)


def _search(engine: sa.Engine) -> measure.Curve:
    from benchmarks import _documents
    from pgultra.features import search

    metadata = sa.MetaData()
    document = _documents.table(metadata, "document")
    metadata.create_all(engine)
    taken = {}
    page = sa.select(document.c.id, document.c.title)
    for size in ROWS:
        _execute(engine, "TRUNCATE document")
        _documents.fill(engine, document, size)
        with engine.connect() as connection:

            def run(candidates: Any) -> Any:
                return connection.execute(
                    search.top(page, document.c.search, "common", 20, candidates=candidates)
                ).all()

            taken[size] = measure.compare(
                "",
                ours=("top", lambda: run(1_000)),
                theirs=("ranks every match", lambda: run(None)),
                rounds=5 if size > ROWS[0] else 15,
            )
    return measure.grow("the 20 best for a word in 6 of 10 documents", "documents", taken)


def _embeddings(engine: sa.Engine) -> measure.Curve:
    from benchmarks import _vectors
    from benchmarks._vectors_near import table_of
    from pgultra.features.embeddings import bulk_copy

    _execute(engine, "CREATE EXTENSION vector")
    table = table_of("single")
    [hnsw] = [index for index in table.indexes if "hnsw" in str(index.name)]
    table.indexes.remove(hnsw)
    table.create(engine)
    queries = _vectors.clustered(200, 2)
    taken = {}
    for size in ROWS:
        vectors = _vectors.clustered(size, 1)
        with engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE item")
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {hnsw.name}")
            rows = ({"id": n, "embedding": each} for n, each in enumerate(vectors))
            bulk_copy(connection, table, rows)
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '3GB'")
            hnsw.create(connection)
        _execute(engine, "VACUUM ANALYZE item")
        with engine.connect() as connection:
            runs = _vectors.Runs(connection, queries, vectors)
            taken[size] = runs.before_scan("", runs.search(table), table, None)
    return measure.grow("the 10 nearest vectors of 384 dimensions", "vectors", taken)


def _encryption(engine: sa.Engine) -> measure.Curve:
    from benchmarks import encryption

    encryption.Base.metadata.create_all(engine)
    taken, before = {}, 0
    for size in ROWS:
        for model in (encryption.PlainIndexed, encryption.Searched):
            for first in range(before, size, 50_000):
                numbers = range(first, min(first + 50_000, size))
                encryption.fill(engine, model, 32, numbers)
        before = size
        _execute(engine, "VACUUM ANALYZE")
        with Session(engine) as session:
            taken[size] = measure.compare(
                "",
                ours=("blind index", encryption.finder(session, encryption.Searched, size)),
                theirs=("index on Text", encryption.finder(session, encryption.PlainIndexed, size)),
                inner=50,
            )
    return measure.grow("equality lookup", "rows", taken)


def _partitions(engine: sa.Engine) -> measure.Curve:
    from benchmarks import _partitions_upkeep

    taken = {}
    for size in ROWS:
        taken[size] = next(_partitions_upkeep.months(engine, size, turns=2))
        _execute(engine, "DROP TABLE event, plain")
        _execute(engine, *(f"DROP TABLE {name}" for name in _detached(engine)))
    return measure.grow("removing a month from a year", "rows of a month", taken)


def _detached(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relname LIKE 'event_2025%%' AND relkind = 'r'"
        )
        return list(found.scalars())


def _execute(engine: sa.Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


ROOMS: dict[str, Callable[[sa.Engine], measure.Curve]] = {
    "kernel": _kernel,
    "soft_delete": _soft_delete,
    "search": _search,
    "embeddings": _embeddings,
    "encryption": _encryption,
    "partitions": _partitions,
}
"""The rooms that have a curve."""
