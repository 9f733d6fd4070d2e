from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import pgultra
from pgultra.features.embeddings import (
    EmbeddingWorker,
    Rules,
    VectorType,
    Worked,
    bulk_copy,
    nearest,
)
from tests.features.embeddings.counting import Length, all_true, fill
from tests.features.embeddings.sample import Article, Base
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

PSYCOPG: dict[str, Any] = {"connect_args": {"prepare_threshold": None}}
ASYNCPG: dict[str, Any] = {
    "connect_args": {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
}
"""What SQLAlchemy's hosts say behind a PgBouncer that keeps no prepared statements."""

SETTINGS = "SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')"


@contextmanager
def pgbouncer(program: str, database: Database, folder: Path) -> Iterator[sa.URL]:
    """
    A PgBouncer in transaction mode before a database, with one connection to it.
    """
    url = database.url
    place = url.host or str(url.query["host"])
    user = url.username or "postgres"
    target = f"host={place} port={url.port or 5432} dbname={database.name} user={user}"
    if url.password:
        target += f" password={url.password}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [
        "[databases]",
        f"{database.name} = {target} pool_size=1",
        "[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
        "auth_type = any\npool_mode = transaction\nmax_prepared_statements = 0",
    ]
    if os.getuid() == 0:  # it refuses to run as root: take who may open the server's socket
        owner = Path(place).owner() if place.startswith("/") else "nobody"
        lines.append(f"user = {pwd.getpwnam(owner if owner != 'root' else 'nobody').pw_name}")
    file = folder / "pgbouncer.ini"
    file.write_text("\n".join(lines) + "\n")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "log")
        yield sa.URL.create("postgresql", user, "any", "127.0.0.1", port, database.name)
    finally:
        process.kill()  # nothing of it is kept; its polite ways differ between versions
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"PgBouncer does not answer: {log.read_text()}")


@pytest.fixture
def bounced(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[sa.URL]:
    """
    The address of a PgBouncer before the test's database.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        lacking(request.config, "no pgbouncer on this machine; on Debian: pgbouncer")
    with pgbouncer(program, database, tmp_path) as url:
        yield url


def table_with_rows(engine: sa.Engine) -> sa.Table:
    """
    3,000 vectors, of seven kinds.
    """
    table = sa.Table(
        "note",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer),
        sa.Column("embedding", VectorType(8, metric="l2", precision="half")),
    )
    pgultra.declare(table, Rules("embedding"))
    rows = np.random.default_rng(1).normal(size=(3000, 8)).astype("f4")
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        some = ({"id": n, "kind": n % 7, "embedding": row} for n, row in enumerate(rows))
        assert bulk_copy(connection, table, some) == 3000
    return table


@pytest.mark.slow
@pytest.mark.once
def test_two_hosts_take_turns_on_one_connection(database: Database, bounced: sa.URL) -> None:
    """
    k rows come to each, in every transaction, and no setting of one is seen by the other.
    """
    url = bounced.set(drivername="postgresql+psycopg")
    one, other = (database.engine(url=url, poolclass=NullPool, **PSYCOPG) for _ in range(2))
    table = table_with_rows(one)
    few, many = table.c.kind == 3, table.c.kind != 3
    with one.connect() as first, other.connect() as second:
        pids = set()
        for host in (first, second):
            host.execute(sa.text("LOAD 'vector'"))
            untouched = host.execute(sa.text(SETTINGS)).one()
            pids.add(host.scalar(sa.text("SELECT pg_backend_pid()")))
            host.commit()
        assert len(pids) == 1
        for turn in range(12):
            mine, theirs = (first, second) if turn % 2 else (second, first)
            for where, k in ((few, 300), (many, 150)):
                query = sa.select(table).where(where)
                found = mine.execute(
                    nearest(query, table.c.embedding, [turn] * 8, k, exact_below=500)
                )
                assert len(found.all()) == k
            mine.commit()
            assert theirs.execute(sa.text(SETTINGS)).one() == untouched
            theirs.commit()


@pytest.mark.slow
async def test_asyncpg_too(database: Database, bounced: sa.URL) -> None:
    """
    The same with a driver that prepares each statement.
    """
    table = table_with_rows(database.engine())
    one, other = (database.async_engine(url=bounced, **ASYNCPG) for _ in range(2))
    async with one.connect() as first, other.connect() as second:
        for turn in range(8):
            mine = first if turn % 2 else second
            query = sa.select(table).where(table.c.kind != turn)
            statement = nearest(query, table.c.embedding, [turn] * 8, 60, exact_below=500)
            assert len((await mine.execute(statement)).all()) == 60
            await mine.commit()


def test_a_worker_behind_pgbouncer(database: Database, bounced: sa.URL) -> None:
    """
    Leases are rows and not locks of a session, so two workers share a connection.
    """
    Base.metadata.create_all(database.engine())
    fill(database.engine(), 12)
    url = bounced.set(drivername="postgresql+psycopg")
    workers = [
        EmbeddingWorker(
            database.engine(url=url, poolclass=NullPool, **PSYCOPG),
            Length(),
            Article.embedding,
            batch=2,
        )
        for _ in range(2)
    ]
    done = Worked()
    while step := workers[0].work_once() + workers[1].work_once():
        done += step
    assert done == Worked(embedded=12)
    assert all_true(database.engine())
