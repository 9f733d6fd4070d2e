"""
Keys that change while they are used: by another thread, or by a transaction that is taken back.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyRing, SubjectKeys, keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOTS = {1: bytes(range(32)), 2: bytes(range(32, 64))}
KEYS = KeyRing("test_changing_keys", ROOTS)


@pytest.fixture
def impatient() -> Iterator[None]:
    """
    Threads take turns after a microsecond, so that two seconds show what a month would.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def race(ring: KeyRing, *workers: Callable[[], object]) -> None:
    """
    Let workers run, over and over, while the active key changes.
    """
    end = time.monotonic() + 2

    def flip() -> None:
        while time.monotonic() < end:
            ring._active = 3 - (ring._active or 1)
            ring.prefetch()
            time.sleep(0.001)  # a worker shall get to seal between two changes

    def repeat(work: Callable[[], object]) -> None:
        while time.monotonic() < end:
            work()

    threads = [threading.Thread(target=flip)]
    threads += [threading.Thread(target=repeat, args=(work,)) for work in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("search", [None, Equality()])
def test_a_value_bears_the_number_of_the_key_that_sealed_it(search: Any) -> None:
    """
    Whenever the active key changes.
    """
    ring = KeyRing("test_changing_keys_race", ROOTS, active=1)
    column: sa.Column[Any] = sa.Column("email", Encrypted(sa.String, ring, search=search))
    sa.Table("person", sa.MetaData(), column)
    type_: Any = column.type
    seal = type_.bind_processor(None)
    sealed: list[bytes] = []
    race(ring, *[lambda: sealed.append(seal("hello"))] * 3)
    open_ = type_.result_processor(None, None)
    assert {open_(each) for each in sealed} == {"hello"}
    assert {each[5] for each in sealed} == {1, 2}


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.usefixtures("impatient")
def test_values_are_read_while_the_active_key_changes() -> None:
    """
    Each by the key that its header names.
    """
    ring = KeyRing("test_changing_keys_race", ROOTS, active=1)
    type_: Any = Encrypted(sa.String, ring, id="person.email")
    values = [type_.bind_processor(None)("a")]
    ring._active = 2
    ring.prefetch()
    values.append(type_.bind_processor(None)("a"))
    failed: list[DecryptionError] = []
    open_ = type_.result_processor(None, None)

    def read() -> None:
        try:
            assert [open_(each) for each in values] == ["a", "a"]
        except DecryptionError as error:
            failed.append(error)

    race(ring, read, read, read)
    assert not failed


def test_keys_that_were_just_fetched_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A thread that finds the old ones expired does not throw them away.
    """

    class Provider:
        def unwrap(self, wrapped: bytes) -> bytes:
            return wrapped

        def wrap(self, key: bytes) -> bytes:
            return key

    ring = KeyRing.from_provider("test_provider", Provider(), {1: bytes(range(32))}, lifetime=100)
    ring.prefetch()
    another_threads = iter([ring.prefetch])

    class Clock:
        @staticmethod
        def monotonic() -> float:
            for fetch in another_threads:
                fetch()
            return time.monotonic() + 150

    with monkeypatch.context() as patch:
        patch.setattr(keys, "time", Clock)
        with pytest.raises(EncryptionError, match="time is over"):
            ring.current()
        assert ring.snapshot is not None
        assert ring.current().active == 1


def subjects() -> tuple[SubjectKeys, sa.Table]:
    """
    Give an order's address, sealed for its customer.
    """
    metadata = sa.MetaData()
    customers = SubjectKeys(metadata, keys=KEYS)
    order = sa.Table(
        "order",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("customer", sa.Integer),
        sa.Column("address", Encrypted(sa.String, KEYS, context="customer", subjects=customers)),
    )
    return customers, order


@pytest.mark.parametrize("savepoint", [True, False])
def test_a_subjects_key_that_is_taken_back_seals_nothing(
    engine: sa.Engine, savepoint: bool
) -> None:
    """
    It would be in no table.
    """
    customers, order = subjects()
    order.metadata.create_all(engine)
    with engine.connect() as connection:
        customers.ensure(connection, 1)
        connection.commit()
        within = connection.begin()
        nested = connection.begin_nested() if savepoint else within
        customers.ensure(connection, 17)
        nested.rollback()
        assert customers.key("1")
        row = {"id": 1, "customer": 17, "address": "x"}
        with pytest.raises(EncryptionError, match="no key at hand"):
            connection.execute(order.insert(), row)
        customers.ensure(connection, 17)
        connection.execute(order.insert(), row)
        connection.commit()
        assert customers.load(connection) == 2
        assert connection.scalar(sa.select(order.c.address)) == "x"


def test_subjects_of_two_schemas_are_not_taken_for_each_other(engine: sa.Engine) -> None:
    """
    Customer 17 of one tenant is not that of another.
    """
    customers, order = subjects()
    with engine.connect() as connection:
        for schema in "ab":
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            connection.execution_options(schema_translate_map={None: schema})
            order.metadata.create_all(connection)
        connection.execution_options(schema_translate_map={None: "a"})
        customers.ensure(connection, 17)
        connection.execution_options(schema_translate_map={None: "b"})
        with pytest.raises(EncryptionError, match="keep the table in one schema"):
            customers.ensure(connection, 17)
        assert customers.key("17")
