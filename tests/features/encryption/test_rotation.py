from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra import plan
from pgultra.errors import EncryptionError
from pgultra.features.encryption import (
    Encrypted,
    Equality,
    KeyRing,
    key_usage,
    rekey,
    rotate,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pgultra.features.encryption.search import Search

ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
OLD = KeyRing("test_rotation_old", {1: ROOTS[1]})
NEW = KeyRing("test_rotation_new", ROOTS)


def table(ring: KeyRing, search: Search | None = None) -> sa.Table:
    """
    Give one table, as it is seen with this ring.
    """
    return sa.Table(
        "secret",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("part", sa.String, primary_key=True),
        sa.Column("value", Encrypted(sa.String, ring, search=search)),
        sa.Column("bound", Encrypted(sa.String, ring, context=("id", "part"))),
    )


def fill(engine: sa.Engine, rows: int, ring: KeyRing = OLD, search: Search | None = None) -> None:
    """
    Make the table, and rows under the first key.
    """
    old = table(ring, search)
    with engine.begin() as connection:
        old.metadata.create_all(connection)
        connection.execute(
            sa.insert(old),
            [
                {"id": n, "part": "a", "value": f"v{n}" if n % 5 else None, "bound": f"b{n}"}
                for n in range(rows)
            ],
        )


def usage(engine: sa.Engine, target: Any) -> dict[int, int]:
    """
    Give rows by key.
    """
    with engine.connect() as connection:
        return {each.key: each.rows for each in key_usage(connection, target)}


def test_rotation_leaves_one_key(engine: sa.Engine) -> None:
    """
    Every value is the same under the new key, NULL and context included, and the old may go.
    """
    fill(engine, 100)
    new = table(NEW)
    assert usage(engine, new.c.value) == {1: 80, 2: 0}
    calls: list[tuple[int, int]] = []
    with engine.connect() as connection:
        dry = rotate(connection, new.c.value, dry_run=True)
        assert (dry.found, dry.done, dry.remaining, dry.complete) == (80, 0, 80, False)
        done = rotate(connection, new.c.value, batch=30, progress=lambda *at: calls.append(at))
        assert (done.found, done.done, done.failed, done.remaining) == (80, 80, 0, 0)
        assert done.complete
        assert calls == [(30, 80), (60, 80), (80, 80)]
        assert rotate(connection, new.c.bound).done == 100
        assert rotate(connection, new.c.bound).done == 0
        rows = connection.execute(sa.select(new).order_by(new.c.id)).all()
        assert [(row.value, row.bound) for row in rows][:2] == [(None, "b0"), ("v1", "b1")]
        used = key_usage(connection, new)
    assert [str(each) for each in used[:2]] == [
        "secret.value key 1: 0 rows, may be retired",
        "secret.value key 2: 80 rows, active",
    ]


def test_usage_is_answered_from_the_index(engine: sa.Engine) -> None:
    """
    Neither finding nor counting the old keys reads the table as a whole.
    """
    fill(engine, 5000)
    new = table(NEW)
    with engine.connect() as connection:
        rotate(connection, new.c.value)
        connection.execute(sa.text("ANALYZE secret"))
        seen = []
        sa.event.listen(connection, "before_cursor_execute", lambda *given: seen.append(given[2:4]))
        key_usage(connection, new.c.value)
        text = "\n".join(
            connection.exec_driver_sql(f"EXPLAIN {seen[-1][0]}", seen[-1][1]).scalars()
        )
    assert "secret_value_key" in text


def test_values_that_do_not_open_stay(engine: sa.Engine) -> None:
    """
    They are counted, and do not stop the others.
    """
    fill(engine, 20)
    new = table(NEW)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE secret SET value = overlay(value placing 'x' from 30) WHERE id = 3")
        )
    with engine.connect() as connection:
        done = rotate(connection, new.c.value)
    assert (done.done, done.failed, done.remaining, done.complete) == (15, 1, 1, False)


def test_a_transaction_is_refused(engine: sa.Engine) -> None:
    """
    Batches commit; what the caller began must not be among it.
    """
    fill(engine, 1)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(EncryptionError, match="in none"):
            rotate(connection, table(NEW).c.value)


@pytest.mark.slow
def test_writers_lose_no_update(engine: sa.Engine, server: Any) -> None:
    """
    While everything is rotated, each row ends with the last value that was written to it.
    """
    rows = 3000
    fill(engine, rows)
    new, old = table(NEW), table(OLD)
    last: dict[int, str] = {}
    stop, errors = threading.Event(), []

    def write(writer: int) -> None:
        mine = [n for n in range(rows) if n % 4 == writer]
        seen = new if writer % 2 else old  # half of the writers do not know the new key yet
        try:
            with engine.connect() as connection:
                count = 0
                while not stop.is_set():
                    for n in sorted(random.sample(mine, 3)):
                        value = f"w{writer}-{count}"
                        connection.execute(
                            sa.update(seen).where(seen.c.id == n).values(value=value)
                        )
                        last[n] = value
                    connection.commit()
                    count += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    with engine.connect() as connection:
        time.sleep(0.2)
        rotate(connection, new.c.value, batch=200)
        time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        rotate(connection, new.c.value)
        found = dict(map(tuple, connection.execute(sa.select(new.c.id, new.c.value))))
    assert len(last) > 100
    expected = {n: last.get(n, f"v{n}" if n % 5 else None) for n in range(rows)}
    assert found == expected
    assert usage(engine, new.c.value)[1] == 0


KILLED = """
import sys
import sqlalchemy as sa
from tests.features.encryption.test_rotation import NEW, table
from pgultra.features.encryption import rotate
engine = sa.create_engine(sys.argv[1])
with engine.connect() as connection:
    rotate(connection, table(NEW).c.value, batch=100,
           progress=lambda done, found: print(done, flush=True))
"""


@pytest.mark.slow
def test_a_killed_run_is_started_again(engine: sa.Engine) -> None:
    """
    After kill -9 in the middle, the next run does the rest.
    """
    fill(engine, 5000)
    url = engine.url.render_as_string(hide_password=False)
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), url], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    while int(program.stdout.readline()) < 500:
        pass
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    new = table(NEW)
    between = usage(engine, new.c.value)
    assert between[1] > 0
    assert between[2] >= 500
    with engine.connect() as connection:
        assert rotate(connection, new.c.value).complete
        found = dict(map(tuple, connection.execute(sa.select(new.c.id, new.c.value))))
    assert found == {n: f"v{n}" if n % 5 else None for n in range(5000)}
    assert usage(engine, new.c.value) == {1: 0, 2: 4000}


def test_rekeying_a_unique_index(engine: sa.Engine) -> None:
    """
    Through all steps every value is found, and no duplicate gets in.
    """

    def step(keys: tuple[int, ...]) -> sa.Table:
        return table(NEW, Equality(unique=True, keys=keys))

    def adjust(target: sa.Table) -> None:
        with engine.begin() as connection:
            plan.apply(plan.check(connection, target.metadata), connection)

    def judge(*targets: sa.Table) -> None:
        for target in targets:
            with engine.connect() as connection:
                value = target.c.value
                for wanted in ("v3", "fresh"):
                    found = connection.execute(sa.select(target.c.id).where(value == wanted))
                    assert len(found.all()) == 1
                for wanted in ("v3", "fresh"):
                    with pytest.raises(sa.exc.IntegrityError):
                        connection.execute(sa.insert(target).values(id=9, part="z", value=wanted))
                    connection.rollback()

    before, both, swapped, after = step((1,)), step((1, 2)), step((2, 1)), step((2,))
    fill(engine, 50, NEW, Equality(unique=True))
    with engine.begin() as connection:
        connection.execute(sa.insert(before).values(id=90, part="b", value="fresh"))
    judge(before)
    adjust(both)
    with engine.begin() as connection:
        connection.execute(sa.insert(both).values(id=91, part="b", value="fresher"))
    judge(before, both)
    with engine.connect() as connection:
        done = rekey(connection, both.c.value, batch=7)
        assert (done.done, done.remaining) == (41, 0)
    judge(before, both, swapped)
    adjust(after)
    judge(both, swapped, after)
    with engine.connect() as connection:
        assert rekey(connection, after.c.value).done == 42
        assert connection.scalar(sa.text("SELECT max(length(value)) FROM secret")) == 62
        used = {each.key: each for each in key_usage(connection, after.c.value)}
        assert used[1].retirable
        assert not used[2].retirable
    judge(after)


def test_rotation_keeps_tags(engine: sa.Engine) -> None:
    """
    ``rotate`` changes data keys only: the index key stays, and so does what it finds.
    """
    fill(engine, 20, OLD, Equality())
    new = table(NEW, Equality())
    with engine.connect() as connection:
        assert rotate(connection, new.c.value).done == 16
        found = connection.execute(sa.select(new.c.value).where(new.c.value == "v7")).all()
        assert found == [("v7",)]
        used = {each.key: str(each) for each in key_usage(connection, new.c.value)}
    assert used[1] == "secret.value key 1: 0 rows, needed by the blind index"


async def test_async_connections(async_engine: AsyncEngine) -> None:
    """
    The same functions are awaited with an AsyncConnection.
    """
    old, new = table(OLD), table(NEW)
    async with async_engine.begin() as connection:
        await connection.run_sync(old.metadata.create_all)
        await connection.execute(sa.insert(old).values(id=1, part="a", value="x", bound="y"))
    async with async_engine.connect() as connection:
        assert (await rotate(connection, new.c.value)).done == 1
        assert (await rotate(connection, new.c.bound)).done == 1
        used = await key_usage(connection, new.c.value)
        assert [each.rows for each in used] == [0, 1]


def test_a_table_and_columns_named_like_ours(engine: sa.Engine) -> None:
    """
    Rotation's statement has names of its own beside those of the host.
    """

    def host(ring: KeyRing) -> sa.Table:
        return sa.Table(
            "v",
            sa.MetaData(),
            sa.Column("key_0", sa.Integer, primary_key=True),
            sa.Column("old", Encrypted(sa.String, ring)),
            sa.Column("new", sa.String),
        )

    old, new = host(OLD), host(NEW)
    with engine.begin() as connection:
        old.metadata.create_all(connection)
        connection.execute(old.insert(), [{"key_0": 1, "old": "a,b", "new": "c"}])
    with engine.connect() as connection:
        assert rotate(connection, new.c.old).complete
        assert connection.scalar(sa.select(new.c.old)) == "a,b"
