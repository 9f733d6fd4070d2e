"""
What a vector costs those who write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy_searchable import SearchOptions, sync_trigger

from benchmarks._documents import LENGTH, copy, documents, table, vocabulary_of
from benchmarks.measure import Bar, Figure, compare
from pgultra import Function, Trigger, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 2_000
FILLED = 70
"""Per cent of a page that an insert fills, so that an update of a row stays on its page."""


def figures(engine: sa.Engine) -> Iterator[Figure]:
    """
    Inserts, saves, unrelated updates, and the vocabulary.
    """
    yield from _inserts(engine)
    yield from _updates(engine)
    yield from _vocabulary(engine)


def _rolled_back(engine: sa.Engine, statement: str) -> Callable[[], None]:
    def call() -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
            connection.rollback()

    return call


def _load(engine: sa.Engine, name: str) -> Callable[[], None]:
    def call() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO {name} (id, title, body) SELECT * FROM text")

    return call


def _emptied(engine: sa.Engine, *names: str) -> Callable[[], None]:
    """
    Before a load: what is rolled back would stay in GIN's list of pending entries.
    """

    def call() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(names)}")
            connection.exec_driver_sql("CHECKPOINT")

    return call


def _texts(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE text (id int, title text, body text)")
        copy(connection, "text", documents(vocabulary_of(5_000), ROWS, LENGTH))


def _touched(metadata: sa.MetaData, table: sa.Table) -> None:
    body = "BEGIN NEW.updated_at := now(); RETURN NEW; END"
    declare(metadata, Function(name="touch", body=body))
    declare(
        table,
        Trigger(
            name="touch", table=table.name, timing="BEFORE", events=("UPDATE",), function="touch"
        ),
    )


def _inserts(engine: sa.Engine) -> Iterator[Figure]:
    _texts(engine)
    metadata = sa.MetaData()
    for name, mode in (("ours_generated", "generated"), ("ours_trigger", "trigger")):
        table(metadata, name, mode=mode)
    metadata.create_all(engine)
    with engine.begin() as connection:
        run = connection.exec_driver_sql
        for name in ("theirs", "peer"):
            run(
                f"CREATE TABLE {name} (id int PRIMARY KEY, title text, body text, "
                "views int DEFAULT 0, updated_at timestamp, search tsvector)"
            )
            run(f"CREATE INDEX ON {name} USING gin (search)")
        run(
            "CREATE TRIGGER keep BEFORE INSERT OR UPDATE ON theirs FOR EACH ROW EXECUTE FUNCTION "
            "tsvector_update_trigger(search, 'pg_catalog.english', title, body)"
        )
        weights = SearchOptions(weights={"title": "A", "body": "B"})
        sync_trigger(connection, "peer", "search", ["title", "body"], options=weights)
    insert = "INSERT INTO {} (id, title, body) SELECT * FROM text"
    for name in ("ours_trigger", "ours_generated"):
        yield compare(
            f"insert of {ROWS:,} documents, {name.removeprefix('ours_')}",
            ours=("SearchVector", _load(engine, name)),
            theirs=("tsvector_update_trigger", _load(engine, "theirs")),
            bar=Bar("<=", 1.05),
            rounds=41,
            before=_emptied(engine, name, "theirs"),
        )
    with engine.begin() as connection:
        for name in ("ours_trigger", "peer"):
            connection.exec_driver_sql(f"TRUNCATE {name}")
            connection.exec_driver_sql(insert.format(name))
    save = "UPDATE {} SET title = title || '', body = body || '', views = views + 1"
    yield compare(
        "a save with unchanged text",
        ours=("SearchVector", _rolled_back(engine, save.format("ours_trigger"))),
        theirs=("sqlalchemy-searchable's trigger", _rolled_back(engine, save.format("peer"))),
        bar=Bar("<=", 0.55),
        rounds=11,
    )


def _updates(engine: sa.Engine) -> Iterator[Figure]:
    for touched in (False, True):
        word = "touched" if touched else "plain"
        metadata = sa.MetaData()
        ours = table(metadata, f"ours_{word}", fillfactor=FILLED)
        theirs = table(metadata, f"bare_{word}", vector=False, fillfactor=FILLED)
        if touched:
            _touched(metadata, ours)
            _touched(metadata, theirs)
        metadata.create_all(engine)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for each in (ours, theirs):
                connection.exec_driver_sql(
                    f"INSERT INTO {each.name} (id, title, body) SELECT * FROM text"
                )
                connection.exec_driver_sql(f"VACUUM ANALYZE {each.name}")

        def update(name: str) -> None:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"UPDATE {name} SET views = views + 1 WHERE id %% 4 = 0")

        figure = compare(
            f"an unrelated update, {'with' if touched else 'without'} an updated_at trigger",
            ours=("with search", lambda: update(ours.name)),  # noqa: B023  # called within the turn
            theirs=("without search", lambda: update(theirs.name)),  # noqa: B023  # called within the turn
            bar=Bar("<=", 1.2),
            rounds=31,
        )
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
            figure.extra["hot_share"] = float(
                connection.scalar(
                    sa.text("SELECT n_tup_hot_upd::float / n_tup_upd FROM pg_stat_user_tables "
                            "WHERE relname = :name"),
                    {"name": ours.name},
                ) or 0
            )  # fmt: skip
        yield figure


def _vocabulary(engine: sa.Engine) -> Iterator[Figure]:
    metadata = sa.MetaData()
    kinds: tuple[tuple[str, Any, Bar | None], ...] = (
        ("title", True, Bar("<=", 1.25)),
        ("title_and_body", ["title", "body"], None),
    )
    for name, parts, _ in kinds:
        table(metadata, f"words_of_{name}", vocabulary=parts)
    table(metadata, "no_words")
    metadata.create_all(engine)
    for name, _, bar in kinds:
        counted = f"words_of_{name}"
        beside = [each for each in metadata.tables if each.startswith(f"{counted}_search_words")]
        yield compare(
            f"bulk insert of {ROWS:,} documents, words of {name.replace('_', ' ')} counted",
            ours=("with a vocabulary", _load(engine, counted)),
            theirs=("without", _load(engine, "no_words")),
            bar=bar,
            rounds=31,
            before=_emptied(engine, counted, "no_words", *beside),
        )
