"""
What a conversion makes beside a table shows nobody more than the table does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import ProgrammingError

from pgultra.features.partitions import convert, finish_conversion
from pgultra.sql import qualified
from tests.features.partitions.conversion.orders import (
    FEBRUARY,
    NEW,
    ORDER,
    ROWS,
    SCHEMA,
    asked,
    do,
    order,
    orders,
    role,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

PLACE = qualified(None, SCHEMA)


@pytest.fixture
def reader(engine: sa.Engine) -> Iterator[str]:
    """
    A role that default privileges let read every table to come.
    """
    with role(engine, "Reader") as name:
        orders(
            engine,
            f"GRANT USAGE ON SCHEMA {PLACE} TO {name}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {PLACE} GRANT SELECT ON TABLES TO {name}",
        )
        yield name


def test_default_privileges_show_no_copy(engine: sa.Engine, reader: str) -> None:
    """
    Who may not read the table reads neither the copy, nor a partition, nor the journal.
    """
    model = order()
    places = [NEW, FEBRUARY, qualified(SCHEMA, "pgultra_partitions_journal")]
    tried = []

    def look(step: str) -> None:
        if step == "constrain":
            for place in places:
                with pytest.raises(ProgrammingError, match="permission denied"):
                    asked(engine, f"SELECT count(*) FROM {place}", reader)
                tried.append(place)

    with engine.connect() as connection:
        convert(connection, model, announce=look)
        assert tried == places
        finish_conversion(connection, model)
    for place in (ORDER, FEBRUARY):
        with pytest.raises(ProgrammingError, match="permission denied"):
            asked(engine, f"SELECT count(*) FROM {place}", reader)


def test_row_security_is_not_passed_by_a_partition(engine: sa.Engine, reader: str) -> None:
    """
    Who may read some rows of the table reads no row of a partition by its own name.
    """
    do(
        engine,
        f"GRANT SELECT ON {ORDER} TO {reader}",
        f"ALTER TABLE {ORDER} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY first ON {ORDER} FOR SELECT TO {reader} USING (id < 10)",
    )
    model = order()
    with engine.connect() as connection:
        convert(connection, model)
        finish_conversion(connection, model)
    assert asked(engine, f"SELECT count(*) FROM {ORDER}", reader) == 9
    assert asked(engine, f"SELECT count(*) FROM {FEBRUARY}", reader) == 0
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS


def test_rights_of_columns_that_were_taken_meanwhile(engine: sa.Engine, reader: str) -> None:
    """
    A right on a column that is revoked during the conversion is gone afterwards.
    """
    do(engine, f"GRANT SELECT (id) ON {ORDER} TO {reader}")

    def revoke(step: str) -> None:
        if step == "exchange":
            do(engine, f"REVOKE SELECT (id) ON {ORDER} FROM {reader}")

    with engine.connect() as connection:
        convert(connection, order(), announce=revoke)
    with pytest.raises(ProgrammingError, match="permission denied"):
        asked(engine, f"SELECT count(id) FROM {ORDER}", reader)
