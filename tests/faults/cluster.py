"""
A server whose data survive it: it can be killed, and started again on what it left.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from pgultra.integrations.embedded import PrivateServer, _run, _unprivileged_account
from tests.fixtures.discovery import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

# What was committed must be on disk, as far as a process that is killed can tell.
DURABLE = {
    **SETTINGS,
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "restart_after_crash": "off",
    "deadlock_timeout": "200ms",
    "shared_buffers": "32MB",
}


class Cluster(PrivateServer):
    """
    A private server that is killed and comes back.

    Databases are copies of templates, each of which is made once.
    """

    def __init__(self, binaries: Path | None, **settings: str) -> None:
        super().__init__(binaries, settings={**DURABLE, **settings})
        self._numbers = itertools.count(1)
        self._templates: dict[str, str] = {}

    # -- its life ---------------------------------------------------------------------------

    def kill(self) -> None:
        """
        SIGKILL to the postmaster and all its children, at once; nothing is written any more.
        """
        assert self._process is not None
        postmaster = self._process.pid
        os.kill(postmaster, signal.SIGSTOP)  # or it would start another child meanwhile
        children = _children(postmaster)
        for pid in (*children, postmaster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + 30
        while any(map(_lives, children)):
            assert time.monotonic() < deadline, "a killed server process does not go away"
            time.sleep(0.005)

    @property
    def runs(self) -> bool:
        """
        Whether the postmaster is there.
        """
        return self._process is not None and self._process.poll() is None

    def again(self) -> None:
        """
        Start on the data that are there.
        """
        assert not self.runs
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._launch(_unprivileged_account())

    def stop_now(self) -> None:
        """
        End the server, but leave its folder.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)

    def copied(self, *options: str) -> Cluster:
        """
        A replica by ``pg_basebackup``, started; stop it after use.
        """
        import tempfile

        account = _unprivileged_account()
        other = Cluster(self._installed)
        other.binaries = self.binaries
        other.folder = Path(tempfile.mkdtemp(prefix="pgultra-", dir="/tmp"))
        if account is not None:
            os.chown(other.folder, account.pw_uid, account.pw_gid)
        data = other.folder / "data"
        source = f"host={self.folder} user=postgres"
        command = [self.binaries / "pg_basebackup", "-d", source, "-D", data, "-R", "-X", "stream"]
        _run([*command, "-c", "fast", *options], account)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"unix_socket_directories = '{other.folder}'\n")
        other._launch(account)
        return other

    # -- its databases ----------------------------------------------------------------------

    def execute(self, statement: str, database: str = "postgres") -> None:
        """
        Run SQL outside any transaction, as the superuser.
        """
        dsn = f"host={self.folder} user=postgres dbname={database}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(
        self, template: str = "", fill: Callable[[sa.Engine], object] | None = None, tail: str = ""
    ) -> str:
        """
        Make a database, like others that were filled in the same way.

        Args:
            template: names the way.
            fill: is called once for each template.
            tail: more words for CREATE DATABASE.
        """
        source = "template0"
        if fill is not None:
            if template not in self._templates:
                self._templates[template] = made = self.database()
                engine = self.engine(made)
                fill(engine)
                engine.dispose()
            source = self._templates[template]
        name = f"faults_{next(self._numbers)}"
        copying = "" if self.major < 15 else " STRATEGY wal_log"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {source}{copying} {tail}")
        return name

    @property
    def major(self) -> int:
        """
        The major version.
        """
        return int((self.folder / "data" / "PG_VERSION").read_text())

    def drop(self, name: str) -> None:
        """
        Drop a database, whoever is in it.
        """
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def engine(self, name: str, **options: object) -> sa.Engine:
        """
        An engine with psycopg that keeps no connection.
        """
        options.setdefault("poolclass", sa.NullPool)
        return sa.create_engine(self.url(name), **options)

    def async_engine(self, name: str, **options: object) -> AsyncEngine:
        """
        An engine with asyncpg that keeps no connection.
        """
        options.setdefault("poolclass", sa.NullPool)
        return create_async_engine(self.url(name, driver="asyncpg"), **options)

    def cut(self, name: str) -> int:
        """
        Cut every connection to a database, and say how many there were.
        """
        dsn = f"host={self.folder} user=postgres dbname=postgres"
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
                "WHERE datname = %s AND backend_type = 'client backend'",
                [name],
            ).fetchone()
        assert row is not None
        return int(row[0])


def _children(pid: int) -> list[int]:
    """
    The processes right below one, from /proc; where there is none, from ``ps``.
    """
    found = []
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(words[1]) == pid:
                        found.append(int(entry.name))
        return found
    ps = shutil.which("ps") or "ps"
    said = subprocess.run([ps, "-axo", "pid=,ppid="], capture_output=True, text=True, check=True)
    for line in said.stdout.splitlines():
        own, parent = map(int, line.split())
        if parent == pid:
            found.append(own)
    return found


def _lives(pid: int) -> bool:
    """
    Whether a process is there, and not merely waiting to be buried.
    """
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state not in "ZX"
