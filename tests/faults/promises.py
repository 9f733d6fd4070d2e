"""
What pgultra promises for the day on which something breaks: fault, operation, outcome.

The page docs/explanation/faults.md is made of this list, by ``python -m tests.faults.promises``,
and each test of this folder says by ``@keeps(fault, operation)`` which promise it keeps. Whether
it kept it, tests/fixtures/witness.py sees in each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FAULTS", "PAGE", "PROMISES", "TESTED", "Promise", "keeps", "page", "promised"]

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "faults.md"


@dataclass(frozen=True)
class Promise:
    """
    One row of the table.

    Attributes:
        fault: a key of `FAULTS`.
        operation: what was being done.
        outcome: what one finds afterwards, in a sentence or two.
    """

    fault: str
    operation: str
    outcome: str


@dataclass(frozen=True)
class Fault:
    """
    What goes wrong.

    Attributes:
        title: its heading.
        story: how the tests bring it about.
    """

    title: str
    story: str


FAULTS = {
    "kill": Fault(
        "The server is killed",
        "SIGKILL to the postmaster and all its children, before chosen statements and COMMITs and "
        "after a random time; then the server is started on the same data, and the same call is "
        "made again.",
    ),
    "cut": Fault(
        "Connections are cut",
        "`pg_terminate_backend` for every connection to the database, before statements chosen at "
        "random, with psycopg and with asyncpg; then the same call is made again.",
    ),
    "replica": Fault(
        "The server may only read",
        "A streaming replica made by `pg_basebackup`, asked with psycopg and with asyncpg.",
    ),
    "pgbouncer": Fault(
        "PgBouncer stands in front, in transaction mode",
        "Three servers for all clients; psycopg without prepared statements and, where PgBouncer "
        "follows them (1.21 and later, `max_prepared_statements`), with them; asyncpg with "
        "`statement_cache_size=0` and names of its own, or as it comes where they are followed.\n"
        "`partitions.maintain`, `drain_default` and `convert` hold a lock of the session and "
        "detach CONCURRENTLY: give them the address of the server itself.",
    ),
    "disk": Fault(
        "The disk is full",
        "The database lies in a tablespace on a small tmpfs without a free byte; then space is "
        "made, and the same call is made again.",
    ),
    "locks": Fault(
        "Locks, deadlocks and serialization failures",
        "Several threads at once on the same rows, at READ COMMITTED and at the stricter levels; "
        "an open transaction that keeps its locks.",
    ),
    "owner": Fault(
        "A role has few rights",
        "No superuser, nothing granted to PUBLIC, only what [rights](../reference/rights.md) "
        "names.",
    ),
}

PROMISES: tuple[Promise, ...] = (
    Promise(
        "kill",
        "create_all",
        "Either everything is there or nothing; the same call makes it, and the check is empty.",
    ),
    Promise(
        "kill",
        "alembic upgrade",
        "A migration is there as a whole or not at all, and an index that was being built "
        "CONCURRENTLY is dropped and built anew; `alembic upgrade head` goes on, and the "
        "check is empty.",
    ),
    Promise(
        "kill",
        "encryption rotate",
        "Every value opens, with the old key or the new one; the same call does the rest.",
    ),
    Promise(
        "kill",
        "partitions maintain",
        "No row is lost, whatever was being made, indexed or detached; the same call finishes"
        " it, and leaves no invalid index, pending detachment or CHECK on a partition behind."
        " Until then a default partition may refuse rows of the partitions that were about to"
        " be made; a table that was detached before its index was built keeps that index "
        "INVALID.",
    ),
    Promise(
        "kill",
        "partitions drain_default",
        "Every row is in exactly one place; the same call goes on with the copy that was begun.",
    ),
    Promise(
        "kill",
        "embeddings worker",
        "Rows that were leased wait again when the lease ends; none is left out.",
    ),
    Promise(
        "kill",
        "soft_delete purge",
        "A deletion is gone as a whole or not at all, live rows are untouched; the same call "
        "goes on.",
    ),
    Promise(
        "kill",
        "search backfill",
        "Batches that were committed stay; the same call does the rest.",
    ),
    Promise(
        "cut",
        "create_all",
        "The driver's error is raised and nothing was made; the same call makes it.",
    ),
    Promise(
        "cut",
        "alembic upgrade",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "encryption rotate",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "partitions maintain",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "partitions drain_default",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "embeddings worker",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "soft_delete purge",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "cut",
        "search backfill",
        "The driver's error is raised (SQLAlchemy's `DBAPIError`), and then as above.",
    ),
    Promise(
        "replica",
        "everything that reads",
        "Every query and read helper of every room answers as the primary does.",
    ),
    Promise(
        "replica",
        "the drift check",
        "It sees the same drift; answers for what only a temporary twin could show are weaker, "
        "and it says so.",
    ),
    Promise(
        "replica",
        "the command line that reads",
        "`check`, `list`, `partitions status` and `plan`, `encryption usage` and "
        "`embeddings recall` end as on the primary.",
    ),
    Promise(
        "replica",
        "everything that writes",
        "An error that names the read-only transaction, or the recovery; nothing hangs.",
    ),
    Promise(
        "pgbouncer",
        "everything that reads",
        "Every query and read helper answers as without it, several transactions at once.",
    ),
    Promise(
        "pgbouncer",
        "settings such as pgultra.actor, and effort",
        "They hold for their transaction, and the next one on the same server knows nothing "
        "of them.",
    ),
    Promise("pgbouncer", "create_all", "Done, as without it."),
    Promise("pgbouncer", "alembic upgrade", "Done, as without it."),
    Promise("pgbouncer", "encryption rotate", "Done, as without it."),
    Promise("pgbouncer", "embeddings worker", "Done, as without it."),
    Promise("pgbouncer", "soft_delete purge", "Done, as without it."),
    Promise("pgbouncer", "search backfill", "Done, as without it."),
    Promise(
        "disk",
        "create_all",
        "`No space left on device` is raised and nothing was made; the same call makes it.",
    ),
    Promise(
        "disk",
        "alembic upgrade",
        "`No space left on device` is raised; the same upgrade goes on, and an INVALID index "
        "is built anew.",
    ),
    Promise(
        "disk",
        "encryption rotate",
        "`No space left on device` is raised; what was committed stays, and the same call "
        "does the rest.",
    ),
    Promise(
        "disk",
        "partitions maintain",
        "Its result names what could not be done, with `No space left on device` (the command"
        " line ends with an error); the same call does the rest.",
    ),
    Promise(
        "disk",
        "partitions drain_default",
        "`No space left on device` is raised; what was committed stays, and the same call "
        "does the rest.",
    ),
    Promise(
        "disk",
        "embeddings worker",
        "`No space left on device` is raised; what was committed stays, and the same call "
        "does the rest.",
    ),
    Promise(
        "disk",
        "search backfill",
        "`No space left on device` is raised; what was committed stays, and the same call "
        "does the rest.",
    ),
    Promise(
        "disk",
        "embeddings build_index",
        "`No space left on device` is raised and the old index stays.",
    ),
    Promise(
        "locks",
        "soft_delete cascades against each other",
        "One deletion or restore by the ORM in a transaction does not end with a deadlock, with "
        "[exceptions](../reference/soft_delete.md#locks); no live row is left below a deleted one.",
    ),
    Promise(
        "locks",
        "soft_delete cascades at REPEATABLE READ or SERIALIZABLE",
        "40001, or 40P01, surfaces as SQLAlchemy's `DBAPIError` and nothing was changed: "
        "repeat the transaction.",
    ),
    Promise(
        "locks",
        "encryption rotate against writers",
        "Rows that are being written are passed over and done in the next round, and no "
        "written value is lost. At a stricter level than READ COMMITTED 40001 may surface: "
        "make the same call again.",
    ),
    Promise(
        "locks",
        "partitions maintain against readers",
        "It gives way after `lock_timeout` and tries again, `attempts` times; what was not to"
        " be had is told in its result, and the next call does it.",
    ),
    Promise(
        "locks",
        "embeddings workers against writers",
        "Each row ends with the vector of its last text. The worker's transactions are READ "
        "COMMITTED, whatever its engine's are.",
    ),
    Promise(
        "owner",
        "the owner of the tables",
        "All rooms are made, migrated up and down, filled, kept up and dropped.",
    ),
    Promise(
        "owner",
        "who reads and writes",
        "All that an application does with rows, the worker, rotation, backfill and purge; an"
        " error from the database for what only an owner may.",
    ),
    Promise(
        "owner",
        "who only looks",
        "`check` needs no right on a table; `partitions status` those that the page names.",
    ),
)

TESTED: set[tuple[str, str]] = set()
"""Promises that a test was written for, by fault and operation; filled when tests are imported."""


def promised(fault: str) -> list[str]:
    """
    The operations that something is promised for under a fault.
    """
    return [each.operation for each in PROMISES if each.fault == fault]


def keeps(fault: str, *operations: str) -> pytest.MarkDecorator:
    """
    Mark a test with the promises that it keeps.

    Raises:
        LookupError: nothing of the kind is promised.
    """
    for operation in operations:
        if operation not in promised(fault):
            raise LookupError(f"nothing is promised for {operation!r} under {fault!r}")
        TESTED.add((fault, operation))
    return pytest.mark.promise(fault, *operations)


def page() -> str:
    """
    The page of the docs.
    """
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# When something breaks"
    yield ""
    yield "What pgultra promises when the server, a connection, a disk or a lock fails you."
    yield "Each row is shown by tests in `tests/faults/`, against real servers."
    yield "The tables are made from the list of promises that these tests keep; CI compares both."
    yield "A run of CI fails where a test of a row fails, is skipped or is not there."
    for key, fault in FAULTS.items():
        yield ""
        yield f"## {fault.title}"
        yield ""
        yield from (f"{sentence}" for sentence in fault.story.split("\n"))
        yield ""
        yield "| operation | outcome |"
        yield "|---|---|"
        for each in PROMISES:
            if each.fault == key:
                yield f"| {each.operation} | {each.outcome} |"


if __name__ == "__main__":
    PAGE.write_text(page())
