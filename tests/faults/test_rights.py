from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults import library, operations
from tests.faults.promises import keeps
from tests.faults.reads import READS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once]

LIB = library.library()
WORDS, DELTA, STATE = "book_search_words", "book_search_words_delta", "book_embedding_state"
numbers = itertools.count(1000)


def read(name: str) -> Callable[[sa.Engine, sa.Engine], None]:
    """
    One of the read helpers.
    """

    def act(engine: sa.Engine, owner: sa.Engine) -> None:
        with Session(engine) as session:
            READS[name](session)

    return act


def insert(engine: sa.Engine, owner: sa.Engine) -> None:
    with Session(engine) as session:
        session.add(LIB.Book(**library.book(next(numbers))))
        session.commit()


def edit(engine: sa.Engine, owner: sa.Engine) -> None:
    with Session(engine) as session:
        session.get_one(LIB.Book, 9).body = f"edited {next(numbers)}"
        session.commit()


def delete(engine: sa.Engine, owner: sa.Engine) -> None:
    with Session(engine) as session:
        shelf = session.get_one(LIB.Shelf, 5)
        session.delete(shelf)
        session.flush()
        soft_delete.restore(session, shelf)
        session.commit()


def purge(engine: sa.Engine, owner: sa.Engine) -> None:
    number = next(numbers)
    with Session(owner) as session:
        session.add(LIB.Shelf(id=number, name="old"))
        session.flush()
        session.add(LIB.Book(**{**library.book(number), "shelf_id": number}))
        session.commit()
        session.delete(session.get_one(LIB.Shelf, number))
        session.commit()
    with engine.connect() as connection:
        assert soft_delete.purge(connection, LIB.Shelf, older_than=dt.timedelta(0)).removed


def work(engine: sa.Engine, owner: sa.Engine) -> None:
    queue(owner, owner)
    assert operations.worker(engine).work()


def queue(engine: sa.Engine, owner: sa.Engine) -> None:
    with engine.begin() as connection:
        embeddings.backfill(connection, LIB.Book.embedding, everything=True)


def rotate(engine: sa.Engine, owner: sa.Engine) -> None:
    with engine.connect() as connection:
        for active in (2, 1):
            assert encryption.rotate(connection, library.library(active).Reader.email).done


def fill_in(engine: sa.Engine, owner: sa.Engine) -> None:
    with engine.connect() as connection:
        search.backfill(connection, LIB.Book.search)


def roll_up(engine: sa.Engine, owner: sa.Engine) -> None:
    with engine.begin() as connection:
        search.roll_up(connection, LIB.Book.search)


def standing(engine: sa.Engine, owner: sa.Engine) -> None:
    with engine.connect() as connection:
        assert partitions.status(connection, LIB.metadata)


def on(table: str, rights: str) -> list[tuple[str, str]]:
    """
    Several rights on one table.
    """
    return [(right, table) for right in rights.split()]


KEPT = on(STATE, "SELECT INSERT UPDATE") + on(DELTA, "INSERT")
NEEDED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "match": (read("search.match"), on("book", "SELECT")),
    "nearest": (read("embeddings.nearest"), on("book", "SELECT")),
    "recall": (read("embeddings.recall"), on("book", "SELECT")),
    "key_usage": (read("encryption.key_usage"), on("reader", "SELECT")),
    "suggest": (read("search.suggest"), on(WORDS, "SELECT")),
    "did_you_mean": (read("search.did_you_mean"), on(WORDS, "SELECT") + on(DELTA, "SELECT")),
    "queue_status": (read("embeddings.queue_status"), on(STATE, "SELECT")),
    "insert": (insert, on("book", "INSERT") + KEPT),
    "edit": (  # of a row that is in the queue; else as "insert"
        edit,
        on("book", "SELECT UPDATE") + on(STATE, "SELECT UPDATE") + on(DELTA, "INSERT"),
    ),
    "delete and restore": (
        delete,
        on("shelf", "SELECT UPDATE") + on("book", "SELECT UPDATE") + on(DELTA, "INSERT"),
    ),
    "purge": (
        purge,
        on("shelf", "SELECT UPDATE DELETE")
        + on("book", "SELECT UPDATE DELETE")
        + on(DELTA, "INSERT"),
    ),
    "worker": (
        work,
        on("book", "SELECT UPDATE") + on(STATE, "SELECT UPDATE") + on(DELTA, "INSERT"),
    ),
    "embeddings.backfill": (queue, on("book", "SELECT") + on(STATE, "SELECT INSERT UPDATE")),
    "rotate": (rotate, on("reader", "SELECT UPDATE")),
    "search.backfill": (fill_in, on("book", "SELECT UPDATE") + on(DELTA, "INSERT")),
    "roll_up": (roll_up, on(WORDS, "SELECT INSERT UPDATE DELETE") + on(DELTA, "SELECT DELETE")),
    "partitions.status": (
        standing,
        on("visit_default", "SELECT") + on("pgultra_partitions_run", "SELECT"),
    ),
}


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cluster, str]:
    """
    A database with rows in all rooms, and a role that may only enter it.
    """
    name = cluster.database("filled", library.filled)
    owner = cluster.engine(name)
    folder: Path = tmp_path_factory.mktemp("unused")
    operations.worker(owner).work()
    operations.maintain(owner, folder)
    roll_up(owner, owner)
    cluster.execute("CREATE ROLE somebody LOGIN")
    cluster.execute("GRANT USAGE ON SCHEMA public TO somebody", name)
    return cluster, name


@keeps("owner", "who reads and writes", "who only looks")
@pytest.mark.parametrize("task", NEEDED)
def test_just_these_rights(stage: tuple[Cluster, str], task: str) -> None:
    """
    With them it works; without any one of them PostgreSQL refuses.
    """
    cluster, name = stage
    act, rights = NEEDED[task]
    owner = cluster.engine(name)
    engine = sa.create_engine(cluster.url(name).set(username="somebody"), poolclass=sa.NullPool)
    for right, table in rights:
        cluster.execute(f"GRANT {right} ON {table} TO somebody", name)
    try:
        act(engine, owner)
        for right, table in rights:
            cluster.execute(f"REVOKE {right} ON {table} FROM somebody", name)
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                act(engine, owner)
            cluster.execute(f"GRANT {right} ON {table} TO somebody", name)
    finally:
        cluster.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM somebody", name)


def test_the_page_names_every_task() -> None:
    """
    What is tried here stands in docs/reference/rights.md.
    """
    from tests.faults.promises import PAGE

    text = (PAGE.parents[1] / "reference" / "rights.md").read_text()
    for word in (
        "recall",
        "key_usage",
        "suggest",
        "did_you_mean",
        "queue_status",
        "restore",
        "purge",
        "EmbeddingWorker",
        "embeddings.backfill",
        "encryption.rotate",
        "search.backfill",
        "roll_up",
        "partitions status",
        "pgultra_partitions_run",
        "session_replication_role",
    ):
        assert word in text, word
