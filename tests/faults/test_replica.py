from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from pgultra import plan
from pgultra.errors import PgultraError
from pgultra.features import embeddings, encryption, partitions, search, soft_delete
from pgultra.integrations.cli.app import app
from pgultra.plan.describe import as_text
from tests.faults import annex, library
from tests.faults.operations import OPERATIONS, Incomplete
from tests.faults.promises import keeps
from tests.faults.reads import READS, prepared
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.once]

MODELS = """
from tests.faults.library import library

Base = library().Base
"""


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Iterator[tuple[sa.Engine, Cluster]]:
    """
    A database with rows of all rooms on the primary, and a replica that has all of it.
    """
    name = cluster.database()
    primary = cluster.engine(name)
    prepared(primary)
    replica = cluster.copied()
    try:
        replica.name = name
        catch_up(primary, replica)
        yield primary, replica
    finally:
        replica.stop()


def catch_up(primary: sa.Engine, replica: Cluster) -> None:
    """
    Wait until the replica has all that the primary wrote.
    """
    with primary.connect() as connection:
        wanted = connection.exec_driver_sql("SELECT pg_current_wal_lsn()").scalar_one()
    engine = replica.engine("postgres")
    deadline = time.monotonic() + 30
    while True:
        with engine.connect() as connection:
            there = sa.text("SELECT pg_last_wal_replay_lsn() >= CAST(:lsn AS pg_lsn)")
            if connection.execute(there, {"lsn": str(wanted)}).scalar_one():
                return
        assert time.monotonic() < deadline, "the replica does not follow"
        time.sleep(0.02)


@keeps("replica", "everything that reads")
@pytest.mark.parametrize("name", READS)
def test_a_replica_answers_as_the_primary(
    request: pytest.FixtureRequest, pair: tuple[sa.Engine, Cluster], name: str
) -> None:
    """
    Every read helper of every room, with psycopg and with asyncpg.
    """
    primary, replica = pair
    with Session(primary) as session:
        wanted = READS[name](session)
    if name == "partitions.managed_by_partman" and not wanted:
        lacking(request.config, "extension pg_partman is not on this server")
    engine = replica.engine(replica.name)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
    with Session(engine) as session:
        assert READS[name](session) == wanted

    async def ask() -> Any:
        asynchronous = replica.async_engine(replica.name)
        async with AsyncSession(asynchronous) as session:
            answer = await session.run_sync(READS[name])
        await asynchronous.dispose()
        return answer

    assert asyncio.run(ask()) == wanted
    if name not in ("soft_delete.audit",):
        assert wanted, "nothing was compared"


@keeps("replica", "the drift check")
def test_the_check_on_a_replica(pair: tuple[sa.Engine, Cluster]) -> None:
    """
    Agreement is empty there, a dropped trigger and an edited function are seen.
    """
    primary, replica = pair
    metadata = library.library().metadata

    def found(engine: sa.Engine) -> plan.Plan:
        with engine.connect() as connection:
            return plan.check(connection, metadata)

    reader = replica.engine(replica.name)
    agreed = found(reader)
    assert not agreed
    assert agreed.weaker
    assert "weaker answer for " in as_text(agreed)
    assert not found(primary).weaker
    with primary.connect() as connection:
        trigger, function = connection.exec_driver_sql(
            "SELECT tgname, proname FROM pg_trigger JOIN pg_proc AS p ON p.oid = tgfoid "
            "WHERE tgrelid = 'book'::regclass AND NOT tgisinternal ORDER BY 1 LIMIT 1"
        ).one()
    emptied = (
        f'CREATE OR REPLACE FUNCTION "{function}"() RETURNS trigger LANGUAGE plpgsql '
        "AS 'BEGIN RETURN NEW; END'"
    )
    for act, verb, name in (
        (f'DROP TRIGGER "{trigger}" ON book', "create", trigger),
        (f'ALTER TABLE book DISABLE TRIGGER "{trigger}"', "replace", trigger),
        (emptied, "replace", f"{function}()"),
    ):
        with primary.begin() as connection:
            connection.exec_driver_sql(act)
        catch_up(primary, replica)
        assert [(step.verb, step.identity.name) for step in found(reader)] == [(verb, name)]
        with primary.begin() as connection:
            plan.apply(plan.check(connection, metadata), connection)
        catch_up(primary, replica)
        assert not found(reader)


@keeps("replica", "the command line that reads")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "MODELS"], "no drift"),
        (["list"], "soft_delete"),
        (["partitions", "status", "MODELS"], "visit"),
        (["partitions", "plan", "MODELS"], "nothing to do"),
        (["encryption", "usage", "MODELS"], "reader.email"),
        (["embeddings", "recall", "MODELS", "book.embedding"], ""),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else given,
)
def test_commands_that_read(
    pair: tuple[sa.Engine, Cluster], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    """
    Each gives the same exit code and the same words as on the primary.
    """
    primary, replica = pair
    models = tmp_path / "models.py"
    models.write_text(MODELS)
    words = [f"{models}:Base" if each == "MODELS" else each for each in arguments]
    said = []
    for url in (primary.url, replica.url(replica.name)):
        text = url.render_as_string(hide_password=False)
        result = CliRunner().invoke(app, [*words, "--url", text])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        said.append((result.exit_code, expected in result.output))
        assert result.exit_code in (0, 1), result.output
    assert said[0] == said[1]
    assert said[0][1]


@keeps("replica", "everything that writes")
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.usefixtures("migrations")
def test_what_writes_says_so(pair: tuple[sa.Engine, Cluster], tmp_path: Path, name: str) -> None:
    """
    The error names the read-only transaction; nothing was changed, and nothing hangs.
    """
    _, replica = pair
    engine = replica.engine(replica.name)
    act = a_new_table if name == "create_all" else OPERATIONS[name].act
    with pytest.raises((sa.exc.DBAPIError, PgultraError, Incomplete), match=r"read-only|recovery"):
        act(engine, tmp_path)


def a_new_table(engine: sa.Engine, folder: Path) -> None:
    """
    One table more: those of the library are there already.
    """
    metadata = sa.MetaData()
    sa.Table("new", metadata, sa.Column("id", sa.Integer))
    with engine.begin() as connection:
        metadata.create_all(connection)


BOOK: Any = library.library().Book
VERBS: dict[str, tuple[Callable[..., Any], Any]] = {
    "embeddings.backfill": (embeddings.backfill, BOOK.embedding),
    "embeddings.build_index": (embeddings.build_index, BOOK.embedding),
    "embeddings.retry_failed": (embeddings.retry_failed, BOOK.embedding),
    "encryption.adopt": (encryption.adopt, annex.Member.name),
    "partitions.convert": (partitions.convert, annex.Journey),
    "search.roll_up": (search.roll_up, BOOK.search),
}
"""What writes and is no long work."""


@keeps("replica", "everything that writes")
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_that_writes_says_so(pair: tuple[sa.Engine, Cluster], name: str) -> None:
    """
    The same error from the verbs that are done at once.
    """
    _, replica = pair
    verb, subject = VERBS[name]
    with (
        replica.engine(replica.name).connect() as connection,
        pytest.raises((sa.exc.DBAPIError, PgultraError), match=r"read-only|recovery"),
    ):
        verb(connection, subject)


@keeps("replica", "everything that writes")
def test_a_deletion_says_so(pair: tuple[sa.Engine, Cluster]) -> None:
    """
    ``session.delete`` and ``restore`` fail as any write does.
    """
    _, replica = pair
    lib = library.library()
    with Session(replica.engine(replica.name)) as session:
        session.delete(session.get_one(lib.Shelf, 7))
        with pytest.raises(sa.exc.DBAPIError, match="read-only"):
            session.commit()
        session.rollback()
        gone = session.scalars(soft_delete.only_deleted(sa.select(lib.Shelf)).limit(1)).one()
        with pytest.raises((sa.exc.DBAPIError, PgultraError), match=r"read-only|recovery"):
            soft_delete.restore(session, gone)
        session.rollback()
