from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgultra.features import embeddings, soft_delete
from tests.faults import library, operations
from tests.faults.bouncer import bouncing, program, version
from tests.faults.operations import OPERATIONS
from tests.faults.promises import keeps
from tests.faults.reads import READS, prepared
from tests.faults.scene import settled
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.bouncer import Bouncer
    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once]

WRITING = (
    "create_all",
    "alembic upgrade",
    "encryption rotate",
    "embeddings worker",
    "soft_delete purge",
    "search backfill",
)
"""What goes through it; the upkeep of partitions needs the server itself."""


@pytest.fixture(scope="module", params=[0, 200], ids=["unprepared", "prepared"])
def bouncer(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[tuple[Bouncer, bool]]:
    """
    PgBouncer, which follows prepared statements or does not.
    """
    if program() is None:
        lacking(request.config, "PgBouncer is not on this machine; on Debian: pgbouncer")
    if request.param and version() < (1, 21):
        lacking(request.config, "PgBouncer follows prepared statements since 1.21")
    with bouncing(cluster, f"bouncer{request.param}", prepared=request.param) as found:
        yield found, bool(request.param)


def engine_of(bouncer: tuple[Bouncer, bool], database: str) -> sa.Engine:
    """
    An engine that prepares from the first time on, or never.
    """
    return bouncer[0].engine(database, 0 if bouncer[1] else None)


@pytest.fixture(scope="module")
def readable(cluster: Cluster) -> str:
    """
    A database with something to find in every room.
    """
    name = cluster.database()
    prepared(cluster.engine(name))
    return name


@keeps("pgbouncer", "everything that reads")
@pytest.mark.parametrize("name", READS)
def test_reading_through_it(
    cluster: Cluster, bouncer: tuple[Bouncer, bool], readable: str, name: str
) -> None:
    """
    Twice in each of several transactions at once, and the same answer as without it.
    """
    with Session(cluster.engine(readable)) as session:
        wanted = READS[name](session)
    engine = engine_of(bouncer, readable)
    with Session(engine) as one, Session(engine) as other:  # two servers at once
        for _ in range(2):
            for session in (one, other, one):
                assert READS[name](session) == wanted
            one.commit()
            other.commit()

    async def ask() -> Any:
        asynchronous = bouncer[0].async_engine(readable, follows=bouncer[1])
        async with AsyncSession(asynchronous) as one, AsyncSession(asynchronous) as other:
            answers = [await session.run_sync(READS[name]) for session in (one, other, one, other)]
        await asynchronous.dispose()
        return answers

    assert asyncio.run(ask()) == [wanted] * 4


@keeps("pgbouncer", *WRITING)
@pytest.mark.parametrize("name", WRITING)
@pytest.mark.usefixtures("migrations")
def test_writing_through_it(
    cluster: Cluster,
    bouncer: tuple[Bouncer, bool],
    drop_later: Callable[[str], str],
    tmp_path: Path,
    name: str,
) -> None:
    """
    Long work that takes many transactions is done through it, with psycopg and asyncpg.
    """
    operation = OPERATIONS[name]
    for driver in ("psycopg", "asyncpg"):
        database = drop_later(cluster.database(operation.template, operation.prepare))
        direct = cluster.engine(database)
        before = library.contents(direct)
        if driver == "psycopg":
            operation.act(engine_of(bouncer, database), tmp_path / driver)
        else:
            asyncio.run(act(bouncer, database, name, tmp_path / driver))
        settled(operation, direct, before)


async def act(bouncer: tuple[Bouncer, bool], database: str, name: str, folder: Path) -> None:
    """
    Do it through asyncpg.
    """
    engine = bouncer[0].async_engine(database, follows=bouncer[1])
    await OPERATIONS[name].act_async(engine, folder)
    await engine.dispose()


@keeps("pgbouncer", "settings such as pgultra.actor, and effort")
def test_settings_stay_in_their_transaction(
    cluster: Cluster, bouncer: tuple[Bouncer, bool], drop_later: Callable[[str], str]
) -> None:
    """
    Who acts is known within the transaction, and unknown to the next one on the same server.
    """
    database = drop_later(cluster.database("filled", library.filled))
    lib = library.library()
    operations.worker(cluster.engine(database)).work()
    engine = engine_of(bouncer, database)
    actor = sa.text("SELECT set_config('pgultra.actor', :name, true)")
    ask = sa.text(
        "SELECT current_setting('pgultra.actor', true), current_setting('hnsw.ef_search', true)"
    )
    with Session(engine) as one, Session(engine) as other:
        one.execute(actor, {"name": "ann"})
        other.execute(actor, {"name": "bob"})
        one.delete(one.get_one(lib.Shelf, 1))
        other.delete(other.get_one(lib.Shelf, 2))
        one.flush()
        other.flush()
        vector = operations.EMBEDDER.embed(["river"])[0]
        near = embeddings.nearest(
            sa.select(lib.Book), lib.Book.embedding, vector, 5, effort=123, plan="index"
        )
        assert len(one.execute(near).all()) == 5
        one.commit()
        other.commit()
    for _ in range(6):  # whichever server one gets
        with Session(engine) as session:
            name, effort = session.execute(ask).one()
            assert not name
            assert effort != "123"
    with Session(cluster.engine(database)) as session:
        shelves = soft_delete.with_deleted(sa.select(lib.Shelf)).order_by(lib.Shelf.id)
        found = {each.id: each.deleted_by for each in session.scalars(shelves)}
    assert (found[1], found[2], found[3]) == ("ann", "bob", None)
