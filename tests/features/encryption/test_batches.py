"""
Batches of rotation and adoption beside writers, and with subjects' keys.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from pgultra.errors import EncryptionError
from pgultra.features.encryption import Encrypted, KeyRing, SubjectKeys, adopt, rotate

ROOTS = {1: bytes(range(32)), 2: bytes(range(50, 82))}
OLD = KeyRing("test_batches", {1: ROOTS[1]})


def person() -> sa.Table:
    return sa.Table(
        "person",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("visits", sa.Integer),
        sa.Column("plain", sa.String),
        sa.Column("sealed", Encrypted(sa.String, OLD, dual="plain")),
    )


@pytest.mark.parametrize("first", [True, False])
def test_adopting_waits_for_no_writer_with_rows_in_hand(engine: sa.Engine, first: bool) -> None:
    """
    A writer has row 3 and then wants row 1: before adopt has had it, or after.
    """
    table = person()
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": n, "plain": "x"} for n in range(1, 5)])
    done: list[Any] = []

    def work() -> None:
        with engine.connect() as connection:
            done.append(adopt(connection, table.c.sealed))

    thread = threading.Thread(target=work)
    with engine.begin() as writer:
        visit = table.update().values(visits=1)
        writer.execute(visit.where(table.c.id == 3))
        thread.start()
        if not first:
            time.sleep(0.5)  # adopt shall have come to row 3
        writer.execute(visit.where(table.c.id == 1))
    thread.join()
    assert [(each.done, each.complete) for each in done] == [(4, True)]


@pytest.mark.parametrize("act", [adopt, rotate])
def test_a_connection_without_transactions_is_refused(engine: sa.Engine, act: Any) -> None:
    """
    A row's lock would end before the row is written.
    """
    table = person()
    table.metadata.create_all(engine)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(EncryptionError, match="READ COMMITTED"):
            act(connection, table.c.sealed)


def test_subjects_keys_are_fetched_as_rows_are_read(engine: sa.Engine) -> None:
    """
    The command line has none in memory; a destroyed subject's rows are told as failed.
    """

    def order(ring: KeyRing) -> tuple[SubjectKeys, sa.Table]:
        metadata = sa.MetaData()
        subjects = SubjectKeys(metadata, keys=ring)
        return subjects, sa.Table(
            "order",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("customer", sa.Integer),
            sa.Column("address", Encrypted(sa.String, ring, context="customer", subjects=subjects)),
        )

    subjects, table = order(OLD)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        subjects.ensure(connection, 17, 18)
        connection.execute(
            table.insert(),
            [{"id": n, "customer": n, "address": f"Main Street {n}"} for n in (17, 18)],
        )
        subjects.destroy(connection, 18)
    subjects, table = order(KeyRing("test_batches_new", ROOTS))
    with engine.connect() as connection:
        result = rotate(connection, table.c.address, batch=1)
        assert (result.done, result.failed) == (1, 1)
        address = sa.select(table.c.address).where(table.c.id == 17)
        assert connection.scalar(address) == "Main Street 17"
