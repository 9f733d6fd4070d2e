from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra.features import embeddings, encryption, partitions, soft_delete
from tests.faults import library, operations
from tests.faults.promises import keeps
from tests.faults.scene import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once]

AGAIN = ("40001", "40P01")
STRICT = ("REPEATABLE READ", "SERIALIZABLE")


@pytest.fixture
def engine(cluster: Cluster, drop_later: Callable[[str], str]) -> sa.Engine:
    """
    An engine on a library with rows.
    """
    return cluster.engine(drop_later(cluster.database("filled", library.filled)))


def state_of(error: sa.exc.DBAPIError) -> str:
    """
    The SQLSTATE that psycopg gives.
    """
    return str(getattr(error.orig, "sqlstate", None))


def repeated(work: Callable[[], object], surfaced: list[str]) -> None:
    """
    What an application does: the same transaction again, for the two errors that ask for it.
    """
    for attempt in range(200):
        try:
            work()
        except sa.exc.DBAPIError as error:
            if state_of(error) not in AGAIN:
                raise
            surfaced.append(state_of(error))
            time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
            continue
        return
    raise AssertionError("two hundred attempts were not enough")


def at_once(*jobs: Callable[[], object]) -> None:
    """
    Run all of them in threads; the first error is raised.
    """
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result(60)


def consistent(engine: sa.Engine) -> None:
    """
    No live book stands on a deleted shelf, and each deletion took a shelf with all its books.
    """
    with engine.connect() as connection:
        orphans = connection.exec_driver_sql(
            "SELECT b.id FROM book b JOIN shelf s ON s.id = b.shelf_id "
            "WHERE b.deleted_at IS NULL AND s.deleted_at IS NOT NULL"
        ).all()
        assert orphans == []


def churn(engine: sa.Engine, seed: int, rounds: int, surfaced: list[str]) -> None:
    """
    Delete shelves and books, and restore shelves, in an order of chance.
    """
    lib, chance = library.library(), random.Random(seed)

    def one() -> None:
        with Session(engine) as session:
            number = chance.randrange(3)
            shelf = session.scalars(
                soft_delete.with_deleted(sa.select(lib.Shelf)).where(lib.Shelf.id == number)
            ).one()
            what = chance.choice(("shelf", "book", "restore"))
            if what == "restore":
                soft_delete.restore(session, shelf)
            elif what == "shelf" and shelf.deleted_at is None:
                session.delete(shelf)
            else:
                book = session.scalars(
                    sa.select(lib.Book).where(lib.Book.shelf_id == number).limit(1)
                ).first()
                if book is not None:
                    session.delete(book)
            session.commit()

    for _ in range(rounds):
        repeated(one, surfaced)


@keeps("locks", "soft_delete cascades against each other")
def test_cascades_do_not_deadlock(engine: sa.Engine) -> None:
    """
    At READ COMMITTED, one deletion or restore in a transaction: no error at all.
    """
    seed = random.randrange(1_000_000)
    log.warning("seed %d", seed)
    surfaced: list[str] = []
    at_once(*(lambda n=n: churn(engine, seed + n, 15, surfaced) for n in range(4)))
    assert surfaced == []
    consistent(engine)


@keeps("locks", "soft_delete cascades at REPEATABLE READ or SERIALIZABLE")
@pytest.mark.parametrize("level", STRICT)
def test_strict_cascades_are_repeated(
    cluster: Cluster, drop_later: Callable[[str], str], level: str
) -> None:
    """
    40001 surfaces as SQLAlchemy's DBAPIError; the repeated transaction finds all as it should be.
    """
    name = drop_later(cluster.database("filled", library.filled))
    engine = cluster.engine(name, isolation_level=level)
    seed = random.randrange(1_000_000)
    log.warning("seed %d", seed)
    surfaced: list[str] = []
    at_once(*(lambda n=n: churn(engine, seed + n, 12, surfaced) for n in range(4)))
    assert set(surfaced) <= set(AGAIN)
    assert surfaced, "nobody met anybody"
    consistent(engine)


def writers(engine: sa.Engine, stop: threading.Event, written: dict[int, str]) -> None:
    """
    Change e-mail addresses until told to stop; who writes last is noted.
    """
    reader, chance = library.library(1).Reader, random.Random(7)
    while not stop.is_set():
        number = chance.randrange(library.READERS)
        value = f"new{chance.randrange(10**9)}@example.com"
        with Session(engine) as session:
            session.get_one(reader, number).email = value
            session.commit()
        written[number] = value


@keeps("locks", "encryption rotate against writers")
@pytest.mark.parametrize("level", ["READ COMMITTED", *STRICT])
def test_rotation_among_writers(engine: sa.Engine, level: str) -> None:
    """
    No written value is lost; at a strict level 40001 surfaces, and the same call goes on.
    """
    stop, written = threading.Event(), dict[int, str]()
    writer = threading.Thread(target=writers, args=(engine, stop, written))
    writer.start()
    column, surfaced = library.library(2).Reader.email, list[str]()
    try:
        while not written:
            time.sleep(0.01)
        for _ in range(4):

            def once() -> None:
                with engine.connect().execution_options(isolation_level=level) as connection:
                    encryption.rotate(connection, column, batch=10)

            repeated(once, surfaced)
    finally:
        stop.set()
        writer.join()
    assert not surfaced or level != "READ COMMITTED"
    with engine.connect() as connection:
        assert encryption.rotate(connection, column).complete
    found = dict(library.contents(engine, 2)["reader"])
    assert found == {n: written.get(n, library.email(n)) for n in range(library.READERS)}


@keeps("locks", "partitions maintain against readers")
def test_upkeep_gives_way(engine: sa.Engine) -> None:
    """
    A reader that stays holds it up, nobody else waits long; it is done when the reader is gone.
    """
    metadata = library.library().metadata
    longest = 0.0
    stop = threading.Event()

    def others() -> None:
        nonlocal longest
        with engine.connect() as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.exec_driver_sql("SELECT count(*) FROM visit")
                connection.rollback()
                longest = max(longest, time.monotonic() - begun)
                time.sleep(0.01)

    crowd = threading.Thread(target=others)
    with engine.connect() as reader, engine.connect() as connection:
        reader.exec_driver_sql("SELECT count(*) FROM visit")
        crowd.start()
        try:
            first = partitions.maintain(
                connection,
                metadata,
                now=operations._present(),
                lock_timeout=0.1,
                attempts=2,
                pause=0.05,
            )
        finally:
            stop.set()
            crowd.join()
        assert not first.complete
        assert all("lock timeout" in problem.error for problem in first.problems)
        assert first.waited > 0
        leave = threading.Timer(0.7, reader.rollback)
        leave.start()
        second = partitions.maintain(
            connection, metadata, now=operations._present(), **operations.NO_PAUSE
        )
        leave.join()
    assert second.complete, str(second)
    assert longest < 5, "somebody waited for longer than attempts take on a busy machine"
    operations.unchanged(engine)


@keeps("locks", "embeddings workers against writers")
@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
def test_workers_among_writers(
    cluster: Cluster, drop_later: Callable[[str], str], level: str
) -> None:
    """
    Two workers and a writer: every row ends with the vector of its last text.
    """
    name = drop_later(cluster.database("filled", library.filled))
    engine, lib = cluster.engine(name), library.library()
    strict = cluster.engine(name, isolation_level=level)
    surfaced: list[str] = []

    def write() -> None:
        chance = random.Random(3)
        for _ in range(60):
            with Session(engine) as session:
                number = chance.randrange(library.BOOKS)
                session.get_one(lib.Book, number).body = f"words {chance.randrange(9**9)}"
                session.commit()

    def work() -> None:
        repeated(lambda: operations.worker(strict).work(), surfaced)

    at_once(work, work, write)
    assert not surfaced
    deadline = time.monotonic() + 20
    while True:  # a batch that was given up comes back when its lease ends
        operations.worker(engine).work()
        with engine.connect() as connection:
            status = embeddings.queue_status(connection, lib.Book.embedding)
        if status.done or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert (status.waiting, status.failed, status.embedded) == (0, 0, library.BOOKS)
    operations.true_vectors(engine)
