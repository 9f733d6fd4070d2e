"""
Rows that come while a table is converted, and lie beyond the partitions that were foreseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgultra.errors import PgultraError
from pgultra.features.partitions import ByRange, convert, finish_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion.orders import (
    OLD,
    ORDER,
    ROWS,
    SCHEMA,
    asked,
    do,
    order,
    orders,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

NUMBERS = ByRange("id", every=100, premake=1)


def later(engine: sa.Engine, when: str, low: int, high: int) -> Callable[[str], None]:
    """
    A writer who inserts orders when a step begins.
    """

    def write(step: str) -> None:
        if step == when:
            do(
                engine,
                f"INSERT INTO {ORDER} SELECT n, '2026-01-01Z', 'late' "
                f"FROM generate_series({low}, {high}) AS n",
            )

    return write


def test_more_new_keys_than_are_looked_at_together(engine: sa.Engine) -> None:
    """
    As many partitions are made as they need, under free names.
    """
    orders(engine, f"CREATE TABLE {qualified(SCHEMA, 'Order_700')} (x int)")
    with engine.connect() as connection:
        convert(connection, order(rules=NUMBERS), announce=later(engine, "compare", 601, 1500))
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS + 900
    home = "SELECT relispartition FROM pg_class WHERE relname = 'Order_700_2'"
    assert asked(engine, home) is True


@pytest.mark.parametrize("when", ["check", "exchange"])
def test_an_attached_table_takes_rows_all_the_time(engine: sa.Engine, when: str) -> None:
    """
    What its partition holds is decided when it is checked; older rows and those of now fit it.
    """
    model = order(rules=NUMBERS)
    orders(engine)
    high = 9500 if when == "check" else 498
    with engine.connect() as connection:
        convert(connection, model, way="attach", announce=later(engine, when, high, high))
        do(engine, f"INSERT INTO {ORDER} VALUES ({high + 1}, '2026-01-01Z', 'after')")
        do(engine, f"INSERT INTO {ORDER} VALUES (-5, '2026-01-01Z', 'before')")
        finish_conversion(connection, model)
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS + 3


def test_a_row_that_comes_before_the_check(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If it is beyond the bound that was decided, the bound is decided anew.
    """
    from pgultra.features.partitions.conversion.attach import Attachment

    orders(engine)
    bounded, seen = Attachment.bounded, []

    def slow(self: Attachment, found: object) -> None:
        divided = self.divided

        def then(*given: object) -> object:
            decided = divided(*given)  # type: ignore[arg-type]  # as they are given
            if not seen:
                later(engine, "check", 9500, 9500)("check")
            seen.append(decided)
            return decided

        monkeypatch.setattr(self, "divided", then)
        bounded(self, found)  # type: ignore[arg-type]  # as it is given
        monkeypatch.undo()
        monkeypatch.setattr(Attachment, "bounded", slow)

    monkeypatch.setattr(Attachment, "bounded", slow)
    with engine.connect() as connection:
        convert(connection, order(rules=NUMBERS), way="attach")
    assert len(seen) == 2
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS + 1


def test_an_attached_table_of_days(engine: sa.Engine) -> None:
    """
    Its partition holds a week to come, for so long may indexes and checks take.
    """
    orders(engine)

    def write(step: str) -> None:
        if step == "exchange":
            do(engine, f"INSERT INTO {ORDER} VALUES (1000, now() + interval '6 days', 'planned')")

    with engine.connect() as connection:
        convert(
            connection,
            order(rules=ByRange("at", every="1 day", premake=3)),
            way="attach",
            announce=write,
        )
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS + 1


def test_the_name_of_the_old_table_is_taken(engine: sa.Engine) -> None:
    """
    It is said before anything starts.
    """
    orders(engine, f"CREATE TABLE {OLD} (x int)")
    steps: list[str] = []
    with (
        engine.connect() as connection,
        pytest.raises(PgultraError, match="the old table gets this name"),
    ):
        convert(connection, order(), announce=steps.append)
    assert steps == ["build"]
