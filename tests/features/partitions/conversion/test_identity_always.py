"""
GENERATED ALWAYS AS IDENTITY: writers may say DEFAULT, and both tables have what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from pgultra.features.partitions import convert, finish_conversion, undo_conversion
from tests.features.partitions.conversion.orders import OLD, ORDER, ROWS, asked, do, order, orders

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATED = f"SELECT attidentity FROM pg_attribute WHERE attrelid = '{ORDER}'::regclass"


def renewed(engine: sa.Engine, column: str, note: str) -> Callable[[str], None]:
    """
    A writer of one step, who gives a row the next number.
    """

    def write(step: str) -> None:
        if step == "exchange":
            do(engine, f"UPDATE {ORDER} SET {column} = DEFAULT WHERE note = '{note}'")

    return write


@pytest.mark.parametrize("column", ["id", "seq"])
def test_a_number_that_is_drawn_anew(engine: sa.Engine, column: str) -> None:
    """
    It reaches the other table before the exchange, and after it, and what is ALWAYS stays so.
    """
    if column == "id":
        orders(engine, columns="id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
        model = order()
    else:
        orders(engine)
        do(engine, f"ALTER TABLE {ORDER} ADD seq bigint GENERATED ALWAYS AS IDENTITY")
        model = order(sa.Column("seq", sa.BigInteger, sa.Identity(always=True)))
    there = f"SELECT {column} FROM {{}} WHERE note = '{{}}'"
    generated = f"{GENERATED} AND attname = '{column}'"
    with engine.connect() as connection:
        convert(connection, model, announce=renewed(engine, column, "n5"))
        assert asked(engine, there.format(ORDER, "n5")) == ROWS + 1
        do(engine, f"UPDATE {ORDER} SET {column} = DEFAULT WHERE note = 'n6'")
        for place in (ORDER, OLD):
            assert asked(engine, there.format(place, "n6")) == ROWS + 2
        assert asked(engine, generated) == "a"
        undo_conversion(connection, model)
        assert asked(engine, generated) == "a"
        assert asked(engine, there.format(ORDER, "n6")) == ROWS + 2
        convert(connection, model)
        finish_conversion(connection, model)
    with pytest.raises(ProgrammingError, match="can only be updated to DEFAULT"):
        do(engine, f"UPDATE {ORDER} SET {column} = 1 WHERE note = 'n7'")
