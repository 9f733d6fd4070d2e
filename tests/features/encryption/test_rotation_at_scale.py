"""
Rotation of a table that is large and busy.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features.encryption import Encrypted, Equality, KeyRing, key_usage, rotate

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 200_000
WRITERS = 8
ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
OLD = KeyRing("test_rotation_at_scale_old", {1: ROOTS[1]})
NEW = KeyRing("test_rotation_at_scale_new", ROOTS)
WRITTEN_BY_ONE = 50


def table(ring: KeyRing) -> sa.Table:
    """
    Give one table, as it is seen with this ring.
    """
    return sa.Table(
        "big",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("value", Encrypted(sa.String, ring, search=Equality())),
    )


def fill(engine: sa.Engine) -> None:
    """
    Make the rows, under the first key.
    """
    old = table(OLD)
    seal = old.c.value.type.seal  # type: ignore[attr-defined]
    old.metadata.create_all(engine)
    with engine.begin() as connection:
        sealed = [seal(f"v{n}") for n in range(ROWS)]
        connection.exec_driver_sql(
            "INSERT INTO big SELECT n - 1, value FROM unnest(%s::bytea[]) WITH ORDINALITY v(value, n)",
            (sealed,),
        )


class Writer(threading.Thread):
    """
    Updates rows of its own until it is told to stop, and knows what it wrote last.
    """

    def __init__(self, engine: sa.Engine, number: int) -> None:
        super().__init__()
        self.engine = engine
        self.number = number
        self.ring = OLD if number % 2 else NEW  # half of them do not know the new key yet
        self.stopping = threading.Event()
        self.last: dict[int, str] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        """
        Three rows in a transaction; every tenth is taken back.
        """
        chance = random.Random(self.number)
        mine = range(self.number, ROWS, WRITERS)
        try:
            with self.engine.connect() as connection:
                count = 0
                while not self.stopping.wait(0.005):
                    seen, count = table(self.ring), count + 1
                    value = f"writer {self.number}, change {count}"
                    rows = sorted(chance.sample(mine, 3))
                    for row in rows:
                        change = sa.update(seen).where(seen.c.id == row).values(value=value)
                        connection.execute(change)
                    if count % 10 == 0:
                        connection.rollback()
                    else:
                        connection.commit()
                        self.last.update(dict.fromkeys(rows, value))
        except Exception as error:
            self.error = error


KILLED = """
import sys
import sqlalchemy as sa
from tests.features.encryption.test_rotation_at_scale import NEW, table
from pgultra.features.encryption import rotate
engine = sa.create_engine(sys.argv[1])
with engine.connect() as connection:
    rotate(connection, table(NEW).c.value, progress=lambda done, found: print(done, flush=True))
"""


def kill_in_the_middle(url: str) -> int:
    """
    Rotate in another process, and kill -9 it when a quarter is done.
    """
    with (
        subprocess.Popen(
            [sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True
        ) as program,
        closing(program.stdout) as printed,  # type: ignore[type-var]
    ):
        done = 0
        while done < ROWS // 4:
            done = int(printed.readline())  # type: ignore[union-attr]
        program.send_signal(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL
    return done


def usage(engine: sa.Engine, target: Any) -> dict[int, int]:
    """
    Give rows by key.
    """
    with engine.connect() as connection:
        return {each.key: each.rows for each in key_usage(connection, target)}


def judge(engine: sa.Engine, writers: Sequence[Writer]) -> None:
    """
    Every value is the last that was written to it, and is found.
    """
    new = table(NEW)
    expected = {row: f"v{row}" for row in range(ROWS)}
    for writer in writers:
        expected |= writer.last
    with engine.connect() as connection:
        found = dict(map(tuple, connection.execute(sa.select(new.c.id, new.c.value))))
        assert found == expected
        for writer in writers:
            row, value = next(reversed(writer.last.items()))
            same = connection.scalars(sa.select(new.c.id).where(new.c.value == value))
            assert row in same.all()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.timeout(900)  # half a minute on two cores of its own
def test_200_000_rows_and_8_writers(engine: sa.Engine) -> None:
    """
    Killed in the middle and started again, while 8 writers go on: no update is lost, one key is left.
    """
    fill(engine)
    url = engine.url.render_as_string(hide_password=False)
    writers = [Writer(engine, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        assert ROWS // 4 <= kill_in_the_middle(url) < ROWS
        between = usage(engine, table(NEW).c.value)
        assert between[1] > ROWS // 4
        assert between[2] >= ROWS // 4
        for writer in writers:
            writer.ring = NEW  # the deployment is complete
        with engine.connect() as connection:
            done = rotate(connection, table(NEW).c.value)
        running = [writer.is_alive() for writer in writers]
    finally:
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join()
    assert [writer.error for writer in writers] == [None] * WRITERS
    assert running == [True] * WRITERS
    assert done.failed == 0
    with engine.connect() as connection:
        assert rotate(connection, table(NEW).c.value).complete  # what the last old writer left
    assert usage(engine, table(NEW).c.value) == {1: 0, 2: ROWS}
    assert all(len(writer.last) >= WRITTEN_BY_ONE for writer in writers)
    judge(engine, writers)
