"""
Errors come through pickle as they were: from a pool of processes, say.
"""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import sqlalchemy as sa

from pgultra import View, declare, plan
from pgultra.errors import (
    ConflictingObjects,
    DeclarationError,
    DecryptionError,
    DriftError,
    MissingExtension,
    PgultraError,
    RestoreConflict,
)

ERRORS = [
    ConflictingObjects(["row 1", "row 2"]),
    DeclarationError("no"),
    DecryptionError("item", "name", 7),
    MissingExtension("vector", "ask a superuser"),
    RestoreConflict(["row 1"]),
]


def fail(number: int) -> None:
    raise ERRORS[number]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_it_went(error: PgultraError) -> None:
    """
    Its text and what it carries.
    """
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_process_raises_them_to_the_other() -> None:
    """
    The pool would break over an error that cannot be made again.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        for number, error in enumerate(ERRORS):
            with pytest.raises(type(error), match=str(error).splitlines()[0][:20]):
                pool.submit(fail, number).result()


def test_plans_and_conflicts_travel_along(engine: sa.Engine) -> None:
    """
    Of drift, and of what stands in the way.
    """
    metadata = sa.MetaData()
    declare(metadata, View(name="One", query="SELECT 1 AS one"), View(name="two", query="SELECT 2"))
    with engine.begin() as connection:
        connection.exec_driver_sql('CREATE VIEW "One" AS SELECT 2 AS one')
        found = plan.check(connection, metadata)
    drift = pickle.loads(pickle.dumps(DriftError(found, "drift")))
    assert drift.plan == found
    assert str(drift) == "drift"
    with pytest.raises(ConflictingObjects) as caught:
        found.insist()
    back = pickle.loads(pickle.dumps(caught.value))
    assert back.conflicts == caught.value.conflicts
    assert str(back) == str(caught.value)
    assert back.conflicts[0].identity == caught.value.conflicts[0].identity  # type: ignore[attr-defined]
