"""
The long work of all rooms, each as something that can be broken off.

How it is prepared, how it is done, and how one sees that it is done.

Every verb has a form for psycopg and one for asyncpg.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import plan
from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from tests.faults.library import (
    BOOKS,
    EMBEDDER,
    READERS,
    SHELVES,
    book,
    contents,
    email,
    filled,
    library,
)
from tests.fixtures.alembic import MigrationEnvironment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

NO_PAUSE = {"lock_timeout": 1.0, "attempts": 20, "pause": 0.05}
LEASE = dt.timedelta(seconds=0.2)
LATER = dt.timedelta(days=150)
"""So much later is it for upkeep: five months of loans are to be made, some to be retired."""


@dataclass(frozen=True)
class Operation:
    """
    Work that a fault may break off.

    Attributes:
        name: as promises call it.
        template: names what was prepared; databases of one template are alike.
        prepare: makes the database in which there is work to do.
        act: does all of it; may be called again after it broke off.
        act_async: the same, awaited.
        finished: fails unless all was done.
        landmarks: words of statements before which a fault is worth most.
    """

    name: str
    template: str
    prepare: Callable[[sa.Engine], None]
    act: Callable[[sa.Engine, Path], object]
    act_async: Callable[[AsyncEngine, Path], Awaitable[object]]
    finished: Callable[[sa.Engine], None]
    landmarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def unchanged(engine: sa.Engine) -> None:
    """
    Models and database agree.
    """
    metadata = library().metadata
    with engine.connect() as connection:
        found = plan.check(connection, metadata)
        assert not found, str(found)


# -- tables ---------------------------------------------------------------------------------------


def with_vector(engine: sa.Engine) -> None:
    """
    A database with the extension, and nothing else.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")


def create(engine: sa.Engine, folder: Path) -> None:
    with engine.begin() as connection:
        library().metadata.create_all(connection)


async def create_async(engine: AsyncEngine, folder: Path) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(library().metadata.create_all)


def created(engine: sa.Engine) -> None:
    unchanged(engine)
    tables = set(sa.inspect(engine).get_table_names())
    assert set(library().metadata.tables) <= tables


# -- migrations -----------------------------------------------------------------------------------


def upgrade(engine: sa.Engine, folder: Path) -> None:
    environment(engine, folder).upgrade()


async def upgrade_async(engine: AsyncEngine, folder: Path) -> None:
    """
    Alembic's way with an async engine: one connection, and ``run_sync``.
    """
    async with engine.connect() as connection:
        await connection.run_sync(lambda own: environment(_Given(own), folder).upgrade())


class _Given:
    """
    An engine for env.py that hands out a connection which is there already.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.url = connection.engine.url.set(drivername="postgresql+psycopg")

    def connect(self) -> _Given:
        return self

    def __enter__(self) -> sa.Connection:
        return self.connection

    def __exit__(self, *error: object) -> None:
        pass


def environment(engine: Any, folder: Path) -> MigrationEnvironment:
    """
    The folder with two migrations: everything, and an index that is built CONCURRENTLY.
    """
    env = MigrationEnvironment(folder / "migrations", engine)
    versions = folder / "migrations" / "versions"
    if not any(versions.glob("*.py")):
        for script in SCRIPTS:
            (versions / script[0]).write_text(script[1])
    return env


SCRIPTS: list[tuple[str, str]] = []
"""Name and text of the migrations, written once by autogenerate."""

CONCURRENT = """
from alembic import op

revision = "concurrent"
down_revision = {before!r}
branch_labels = depends_on = None


def upgrade():
    with op.get_context().autocommit_block():
{statements}


def downgrade():
    pass
"""


def write_migrations(engine: sa.Engine, folder: Path) -> None:
    """
    Let autogenerate write what `environment` runs.
    """
    if SCRIPTS:
        return
    env = MigrationEnvironment(folder / "first", engine)
    first = env.autogenerate("everything", metadata=library().metadata)
    index = plan_index()
    lines = "\n".join(f"        op.execute({each!r})" for each in index.create())
    SCRIPTS.append((first.path.name, first.text))
    text = CONCURRENT.format(before=first.identifier, statements=lines)
    SCRIPTS.append(("concurrent.py", text))


def plan_index() -> Any:
    """
    An index as a room would declare it.
    """
    from pgultra import Index

    table = library().Shelf.__table__
    twin = table.to_metadata(sa.MetaData())
    return Index.of(sa.Index("shelf_name", twin.c.name), concurrently=True)


def upgraded(engine: sa.Engine) -> None:
    created(engine)
    with engine.connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'shelf_name'::regclass"
        assert connection.exec_driver_sql(valid).scalar_one()
        assert connection.exec_driver_sql("SELECT * FROM alembic_version").all() == [
            ("concurrent",)
        ]


# -- encryption -----------------------------------------------------------------------------------


def rotate(engine: sa.Engine, folder: Path) -> object:
    with engine.connect() as connection:
        return encryption.rotate(connection, library(2).Reader.email, batch=20)


async def rotate_async(engine: AsyncEngine, folder: Path) -> object:
    async with engine.connect() as connection:
        return await encryption.rotate(connection, library(2).Reader.email, batch=20)


def rotated(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        used = encryption.key_usage(connection, library(2).Reader.email)
        assert {each.key: each.rows for each in used} == {1: 0, 2: READERS}
    reader = library(2).Reader
    with Session(engine) as session:
        found = session.scalars(sa.select(reader).where(reader.email == email(7).upper())).one()
        assert (found.id, found.email) == (7, email(7))


# -- partitions -----------------------------------------------------------------------------------


def loans_to_keep_up(engine: sa.Engine) -> None:
    """
    Loans as of today, their index taken off all partitions but left on the parent.
    """
    filled(engine)
    lib = library()
    with engine.begin() as connection:
        comment = connection.exec_driver_sql(
            "SELECT obj_description('loan_note'::regclass, 'pg_class')"
        ).scalar_one()
        connection.exec_driver_sql("DROP INDEX loan_note")
        connection.execute(sa.text("CREATE INDEX loan_note ON ONLY loan (note)"))
        if comment:
            connection.exec_driver_sql(f"COMMENT ON INDEX loan_note IS '{comment}'")
    assert lib.Loan.__table__ is not None


def _present() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + LATER


def maintain(engine: sa.Engine, folder: Path) -> object:
    with engine.connect() as connection:
        return _complete(
            partitions.maintain(
                connection, library().metadata, now=_present(), batch=20, **NO_PAUSE
            )
        )


async def maintain_async(engine: AsyncEngine, folder: Path) -> object:
    async with engine.connect() as connection:
        return _complete(
            await partitions.maintain(
                connection, library().metadata, now=_present(), batch=20, **NO_PAUSE
            )
        )


def _complete(done: partitions.Maintained) -> partitions.Maintained:
    if not done.complete:
        raise Incomplete(str(done))
    return done


class Incomplete(Exception):
    """
    ``maintain`` told in its result what could not be done.
    """


def maintained(engine: sa.Engine) -> None:
    unchanged(engine)
    metadata = library().metadata
    with engine.connect() as connection:
        assert not partitions.plan(connection, metadata, now=_present()).actions
        tables = {
            each.table: each for each in partitions.status(connection, metadata, now=_present())
        }
        assert not any(each.gaps for each in tables.values())
        broken = (
            "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class AS c ON c.oid = indrelid "
            "WHERE NOT indisvalid AND (c.relispartition OR c.relkind = 'p')"
        )
        assert connection.exec_driver_sql(broken).all() == []
        pending = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending"
        assert connection.exec_driver_sql(pending).all() == []
        left = (
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conname ~ 'pgultra' "
            "UNION ALL SELECT tgname FROM pg_trigger "
            "WHERE tgrelid = 'visit_default'::regclass AND NOT tgisinternal"
        )
        assert connection.exec_driver_sql(left).all() == []


def drain(engine: sa.Engine, folder: Path) -> object:
    with engine.connect() as connection:
        return partitions.drain_default(connection, library().Visit, batch=25, **NO_PAUSE)


async def drain_async(engine: AsyncEngine, folder: Path) -> object:
    async with engine.connect() as connection:
        return await partitions.drain_default(connection, library().Visit, batch=25, **NO_PAUSE)


def drained(engine: sa.Engine) -> None:
    unchanged(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM visit_default").scalar_one() == 0
        triggers = (
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'visit_default'::regclass "
            "AND NOT tgisinternal"
        )
        assert connection.exec_driver_sql(triggers).all() == []
        loose = (
            "SELECT relname FROM pg_class WHERE relname ~ '^visit_' AND relkind = 'r' "
            "AND NOT relispartition"
        )
        assert connection.exec_driver_sql(loose).all() == []


# -- embeddings -----------------------------------------------------------------------------------


def worker(engine: Any) -> embeddings.EmbeddingWorker:
    """
    A worker with small batches, whose leases end soon.
    """
    return embeddings.EmbeddingWorker(
        engine, EMBEDDER, library().Book.embedding, batch=16, lease=LEASE
    )


def embed(engine: sa.Engine, folder: Path) -> object:
    return worker(engine).work()


async def embed_async(engine: AsyncEngine, folder: Path) -> object:
    return await worker(engine).work_async()


def embedded(engine: sa.Engine) -> None:
    # what the one that died had leased comes back when the lease ends
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    column = library().Book.embedding
    while True:
        worker(engine).work()
        with engine.connect() as connection:
            status = embeddings.queue_status(connection, column)
        if status.done or dt.datetime.now(dt.UTC) > deadline:
            break
    assert (status.waiting, status.failed, status.embedded) == (0, 0, BOOKS)
    true_vectors(engine)


def true_vectors(engine: sa.Engine) -> None:
    """
    Each book has the vector of the text that it has now.
    """
    with Session(engine) as session:
        rows = session.scalars(sa.select(library().Book)).all()
        wanted = EMBEDDER.embed([f"{row.title}\n\n{row.body}" for row in rows])
        for row, vector in zip(rows, wanted, strict=True):
            assert row.embedding.to_list() == pytest.approx(vector, abs=1e-5)


# -- soft delete ----------------------------------------------------------------------------------

OLD = {0, 1, 2, 3}
"""Shelves that were deleted long ago, with their books."""


def old_deletions(engine: sa.Engine) -> None:
    """
    A third of the shelves was deleted long ago, another one lately.
    """
    filled(engine)
    lib = library()
    with Session(engine) as session:
        for number in (*OLD, 5):
            session.delete(session.get_one(lib.Shelf, number))
            session.commit()
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        old = ", ".join(map(str, OLD))
        for table, column in (("shelf", "id"), ("book", "shelf_id")):
            connection.exec_driver_sql(
                f"UPDATE {table} SET deleted_at = deleted_at - interval '90 days' "
                f"WHERE {column} IN ({old})"
            )


def purge(engine: sa.Engine, folder: Path) -> object:
    with engine.connect() as connection:
        return soft_delete.purge(connection, library().Shelf, batch_size=1)


async def purge_async(engine: AsyncEngine, folder: Path) -> object:
    async with engine.connect() as connection:
        return await soft_delete.purge(connection, library().Shelf, batch_size=1)


def purged(engine: sa.Engine) -> None:
    unchanged(engine)
    found = contents(engine)
    shelves = set(range(SHELVES)) - OLD
    assert {row[0] for row in found["shelf"]} == shelves
    assert {row[0] for row in found["book"]} == {
        n for n in range(BOOKS) if book(n)["shelf_id"] in shelves
    }
    assert {row[0] for row in found["shelf"] if row[2] is not None} == {5}


# -- search ---------------------------------------------------------------------------------------


def without_vectors(engine: sa.Engine) -> None:
    """
    Books whose search vectors were never made, as after a load with triggers off.
    """
    filled(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE book SET search = NULL")


def fill_in(engine: sa.Engine, folder: Path) -> object:
    with engine.connect() as connection:
        return search.backfill(connection, library().Book.search, batch_size=15)


async def fill_in_async(engine: AsyncEngine, folder: Path) -> object:
    async with engine.connect() as connection:
        return await search.backfill(connection, library().Book.search, batch_size=15)


def filled_in(engine: sa.Engine) -> None:
    unchanged(engine)
    lib = library()
    with engine.connect() as connection:
        assert (
            connection.exec_driver_sql(
                "SELECT count(*) FROM book WHERE search IS NULL"
            ).scalar_one()
            == 0
        )
        again = search.backfill(connection, lib.Book.search)
        assert (again.seen, again.changed) == (BOOKS, 0)
    with Session(engine) as session:
        word = book(7)["title"].split()[0]
        found = session.scalars(sa.select(lib.Book.id).where(search.match(lib.Book.search, word)))
        wanted = {
            n for n in range(BOOKS) if word in f"{book(n)['title']} {book(n)['body']}".split()
        }
        assert set(found) == wanted


OPERATIONS = {
    each.name: each
    for each in (
        Operation("create_all", "vector", with_vector, create, create_async, created),
        Operation(
            "alembic upgrade",
            "vector",
            with_vector,
            upgrade,
            upgrade_async,
            upgraded,
            landmarks=("CREATE INDEX CONCURRENTLY", "COMMENT ON INDEX"),
        ),
        Operation("encryption rotate", "filled", filled, rotate, rotate_async, rotated),
        Operation(
            "partitions maintain",
            "loans",
            loans_to_keep_up,
            maintain,
            maintain_async,
            maintained,
            landmarks=("premake", "DROP CONSTRAINT", "CREATE INDEX", "DETACH"),
        ),
        Operation("partitions drain_default", "filled", filled, drain, drain_async, drained),
        Operation("embeddings worker", "filled", filled, embed, embed_async, embedded),
        Operation("soft_delete purge", "deleted", old_deletions, purge, purge_async, purged),
        Operation(
            "search backfill", "unfilled", without_vectors, fill_in, fill_in_async, filled_in
        ),
    )
}
