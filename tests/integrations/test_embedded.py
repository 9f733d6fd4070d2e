from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from pgultra.integrations import embedded
from pgultra.integrations.embedded import PrivateServer


@pytest.mark.slow
def test_a_server_lives_for_a_block() -> None:
    """
    It has pgvector, listens on a socket only, and leaves no folder.
    """
    with PrivateServer(settings={"application_name": "mine"}) as server:
        engine = sa.create_engine(server.url(), poolclass=sa.NullPool)
        with engine.connect() as connection:
            ask = connection.exec_driver_sql
            assert ask("SHOW listen_addresses").scalar_one() == ""
            assert ask("SHOW application_name").scalar_one() == "mine"
            assert ask("SELECT lower('É')").scalar_one() == "é"
            assert "vector" in ask("SELECT name FROM pg_available_extensions").scalars().all()
        folder = server.folder
        assert folder.is_dir()
    assert not folder.exists()
    server.stop()  # a second time does no harm


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does this on Linux only")
@pytest.mark.once
def test_it_ends_with_the_process_however_that_dies() -> None:
    """
    A process that is killed leaves no server behind.
    """
    script = (
        "import os\n"
        "from pgultra.integrations.embedded import PrivateServer\n"
        "server = PrivateServer().start()\n"
        "print((server.folder / 'data' / 'postmaster.pid').read_text().split()[0], flush=True)\n"
        "print(server.folder, flush=True)\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    number, folder = done.stdout.split()
    try:
        deadline = time.monotonic() + 20
        while _runs(int(number)):
            assert time.monotonic() < deadline, "the server outlives its process"
            time.sleep(0.05)
    finally:
        subprocess.run(["rm", "-r", folder], check=True)


@pytest.mark.slow
def test_its_folder_can_be_put_elsewhere() -> None:
    """
    Data and socket are in a folder of their own within the one that is named.
    """
    with TemporaryDirectory(prefix="pgultra-elsewhere-", dir="/tmp") as place:
        Path(place).chmod(0o755)  # for the account that runs the server
        with PrivateServer(parent=Path(place)) as server:
            assert server.folder.parent == Path(place)
            engine = sa.create_engine(server.url(), poolclass=sa.NullPool)
            with engine.connect() as connection:
                data = connection.exec_driver_sql("SHOW data_directory").scalar_one()
            assert Path(data) == server.folder / "data"
        assert list(Path(place).iterdir()) == []
        for wrong in (Path(place, "none"), Path(__file__)):
            with pytest.raises(PgultraError, match=f"parent='{wrong}' is no folder"):
                PrivateServer(parent=wrong).start()


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why() -> None:
    """
    The error carries the server's own log, and nothing is left.
    """
    server = PrivateServer(settings={"shared_buffers": "nonsense"})
    with pytest.raises(PgultraError, match="nonsense"):
        server.start()
    assert server.folder == Path()


def test_without_the_wheel_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The extra is named where the wheel is not installed.
    """
    monkeypatch.setattr(embedded, "_WHEEL", "not_installed_at_all")
    with pytest.raises(PgultraError, match=r"pgultra\[embedded\]"):
        PrivateServer()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has a home that others cannot read")
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.once
def test_a_wheel_that_only_root_can_read_is_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: bool
) -> None:
    """
    The account that runs the server needs no access to root's home.
    """
    real = embedded.wheel_binaries()
    assert real is not None
    packages = real.parents[2]
    hidden = tmp_path / "site-packages"
    hidden.mkdir(mode=0o700)
    for name in (embedded._WHEEL, f"{embedded._WHEEL}.libs"):
        subprocess.run(["cp", "-r", packages / name, hidden / name], check=True)
    monkeypatch.setattr(embedded, "wheel_binaries", lambda: hidden / real.relative_to(packages))
    server = PrivateServer(embedded.wheel_binaries() if named else None)
    with server:
        assert server.folder in server.binaries.parents
        assert server.url().query["host"] == str(server.folder)
    assert server.binaries == embedded.wheel_binaries()  # it may be started again


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
