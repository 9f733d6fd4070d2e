"""
PgBouncer in transaction mode, in front of a cluster.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from pgultra.integrations.embedded import _unprivileged_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.faults.cluster import Cluster

SETTINGS = """
[databases]
* = host={server} user=postgres

[pgbouncer]
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 100
unix_socket_dir = {folder}
listen_port = 6432
listen_addr =
auth_type = any
logfile = {folder}/log
pidfile = {folder}/pid
max_prepared_statements = {prepared}
"""


def program() -> str | None:
    """
    Where PgBouncer is, if it is on this machine.
    """
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


def version() -> tuple[int, int]:
    """
    Its version, such as (1, 24).
    """
    said = subprocess.run(
        [program() or "pgbouncer", "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"(\d+)\.(\d+)", said.stdout)
    assert found is not None
    return int(found[1]), int(found[2])


class Bouncer:
    """
    One that runs: engines that go through it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, database: str, driver: str) -> sa.URL:
        """
        The address of a database behind it.
        """
        return sa.URL.create(
            f"postgresql+{driver}",
            username="postgres",
            database=database,
            query={"host": str(self.folder), "port": "6432"},
        )

    def engine(self, database: str, prepare: int | None) -> sa.Engine:
        """
        With psycopg; `prepare` is its threshold for prepared statements, None is never.
        """
        return sa.create_engine(
            self.url(database, "psycopg"),
            poolclass=sa.NullPool,
            connect_args={"prepare_threshold": prepare},
        )

    def async_engine(self, database: str, *, follows: bool) -> AsyncEngine:
        """
        With asyncpg; where prepared statements are not followed, as SQLAlchemy's page says.
        """
        options = (
            {}
            if follows
            else {
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: f"__asyncpg_{uuid.uuid4()}__",
            }
        )
        return create_async_engine(
            self.url(database, "asyncpg"), poolclass=sa.NullPool, connect_args=options
        )


@contextmanager
def bouncing(cluster: Cluster, name: str, *, prepared: int, pool: int = 3) -> Iterator[Bouncer]:
    """
    Start one, and end it.
    """
    folder = cluster.folder / name
    folder.mkdir()
    account = _unprivileged_account()
    if account is not None:
        shutil.chown(folder, account.pw_uid, account.pw_gid)
    text = SETTINGS.format(server=cluster.folder, folder=folder, prepared=prepared, pool=pool)
    if version() < (1, 21):
        text = text.replace(f"max_prepared_statements = {prepared}\n", "")
    (folder / "ini").write_text(text)
    process = subprocess.Popen(
        [program() or "pgbouncer", folder / "ini"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=account and [],
    )
    try:
        deadline = time.monotonic() + 20
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "PgBouncer does not start"
            time.sleep(0.02)
        yield Bouncer(folder)
    finally:
        process.terminate()
        process.wait()
