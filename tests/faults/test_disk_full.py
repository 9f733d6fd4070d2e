from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.features import embeddings
from pgultra.integrations.embedded import _unprivileged_account
from tests.faults import library, operations
from tests.faults.operations import OPERATIONS, Incomplete
from tests.faults.promises import keeps
from tests.faults.scene import settled, whole
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once, pytest.mark.usefixtures("migrations")]

SIZE = "96m"


class Disk:
    """
    A small disk, with a tablespace on it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def full(self) -> Iterator[None]:
        """
        Not a byte is free for the length of a block.
        """
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12, 1):
                    block = b"x" * size
                    while True:
                        try:
                            if file.write(block) < size:
                                break
                        except OSError:
                            break
            yield
        finally:
            ballast.unlink()


@pytest.fixture(scope="module")
def disk(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Disk]:
    """
    A tmpfs that is mounted for the module.
    """
    folder = cluster.folder / "small"
    folder.mkdir()
    if shutil.which("mount") is None:
        lacking(request.config, "the program mount is not on this machine")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lacking(
            request.config,
            f"a small disk cannot be mounted here ({done.stderr.strip()}): be root, and in a "
            "container give it --privileged",
        )
    try:
        space = folder / "space"
        space.mkdir()
        account = _unprivileged_account()
        if account is not None:
            os.chown(space, account.pw_uid, account.pw_gid)
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        yield Disk(folder)
    finally:
        cluster.stop_now()
        subprocess.run(["umount", "-l", folder], check=False)


NAMES = (
    "create_all",
    "alembic upgrade",
    "encryption rotate",
    "partitions maintain",
    "partitions drain_default",
    "embeddings worker",
    "search backfill",
)


@keeps("disk", *NAMES)
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(
    cluster: Cluster, disk: Disk, drop_later: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """
    The error says that no space is left; with space, the same call does the rest.
    """
    operation = OPERATIONS[name]
    database = drop_later(
        cluster.database(operation.template, operation.prepare, tail="TABLESPACE small")
    )
    engine = cluster.engine(database)
    before = library.contents(engine)
    with disk.full(), engine.connect() as reader:
        if name == "encryption rotate":  # or the room of old versions would do for the new ones
            reader.execution_options(isolation_level="REPEATABLE READ")
            reader.exec_driver_sql("SELECT FROM reader")
        with pytest.raises((sa.exc.DBAPIError, Incomplete), match="No space left on device"):
            operation.act(engine, tmp_path)
        whole(operation, engine, before)
    operation.act(engine, tmp_path)
    settled(operation, engine, before)


@keeps("disk", "embeddings build_index")
def test_an_index_on_a_full_disk(
    cluster: Cluster, disk: Disk, drop_later: Callable[[str], str]
) -> None:
    """
    The old index stays in use until the new one is there.
    """
    database = drop_later(cluster.database("filled", library.filled, tail="TABLESPACE small"))
    engine = cluster.engine(database)
    column = library.library().Book.embedding
    operations.worker(engine).work()
    ask = sa.text("SELECT oid FROM pg_class WHERE relname = 'book_embedding_hnsw'")
    with engine.connect() as connection:
        old = connection.scalar(ask)
        assert old is not None
    with disk.full(), engine.connect() as connection:
        with pytest.raises(sa.exc.DBAPIError, match="No space left on device"):
            embeddings.build_index(connection, column)
        connection.rollback()
        assert connection.scalar(ask) == old
    with engine.begin() as connection:
        assert embeddings.build_index(connection, column) == "book_embedding_hnsw"
        assert connection.scalar(ask) not in (None, old)
    operations.unchanged(engine)
