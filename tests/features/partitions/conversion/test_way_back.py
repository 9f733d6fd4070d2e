"""
The way back throws nothing away that was done to the table since the exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.errors import PgultraError
from pgultra.features.partitions import (
    ByRange,
    convert,
    finish_conversion,
    maintain,
    undo_conversion,
)
from tests.features.partitions.conversion.orders import (
    FEBRUARY,
    OLD,
    ORDER,
    ROWS,
    asked,
    do,
    order,
    orders,
    role,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = {
    "its columns": ("ADD COLUMN price int", "DROP COLUMN price"),
    "its row security": ("ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"),
    "its constraints": ("ADD CONSTRAINT more CHECK (id > 0)", "DROP CONSTRAINT more"),
}


@pytest.fixture
def converted(engine: sa.Engine) -> Iterator[sa.Table]:
    """
    A table, both ways open; nothing of it is left under way.
    """
    orders(engine)
    model = order()
    with engine.connect() as connection:
        convert(connection, model)
        yield model
        undo_conversion(connection, model)
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_altered_is_told(engine: sa.Engine, converted: sa.Table, name: str) -> None:
    """
    The name is not given back while the table has what the old one has not.
    """
    there, back = CHANGES[name]
    do(engine, f"ALTER TABLE {ORDER} {there}", f"UPDATE {ORDER} SET note = 'x' WHERE id = 1")
    with engine.connect() as connection, pytest.raises(PgultraError, match=name):
        undo_conversion(connection, converted)
    do(engine, f"ALTER TABLE {ORDER} {back}")


def test_a_right_that_was_revoked_is_not_given_back(engine: sa.Engine) -> None:
    """
    Nor is a policy lost.
    """
    with role(engine, "Reader") as reader:
        orders(engine, f"GRANT SELECT ON {ORDER} TO {reader}")
        model = order()
        with engine.connect() as connection:
            convert(connection, model)
            do(
                engine,
                f"REVOKE SELECT ON {ORDER} FROM {reader}",
                f"CREATE POLICY first ON {ORDER} USING (id < 10)",
            )
            with pytest.raises(PgultraError, match="its rights; its policies"):
                undo_conversion(connection, model)
            finish_conversion(connection, model)
        may = f"SELECT has_table_privilege('{reader[1:-1]}', '{ORDER}', 'SELECT')"
        assert asked(engine, may) is False


def test_a_foreign_key_that_came_later(engine: sa.Engine, converted: sa.Table) -> None:
    """
    It would refer to a table that goes.
    """
    do(
        engine,
        'CREATE TABLE "Later" (order_id bigint, at timestamptz, '
        f"FOREIGN KEY (order_id, at) REFERENCES {ORDER})",
    )
    with (
        engine.connect() as connection,
        pytest.raises(PgultraError, match=r"foreign key \S+ of public.Later"),
    ):
        undo_conversion(connection, converted)
    do(engine, 'DROP TABLE "Later"')


def test_a_partition_that_was_detached(engine: sa.Engine, converted: sa.Table) -> None:
    """
    Its rows are not deleted from the old table; what is detached can be emptied by itself.
    """
    do(engine, f"ALTER TABLE {ORDER} DETACH PARTITION {FEBRUARY}", f"TRUNCATE {FEBRUARY}")
    with (
        engine.connect() as connection,
        pytest.raises(PgultraError, match="was detached or dropped"),
    ):
        undo_conversion(connection, converted)
    assert asked(engine, f"SELECT count(*) FROM {OLD}") == ROWS
    do(
        engine,
        f"INSERT INTO {FEBRUARY} SELECT * FROM {OLD} WHERE at >= '2026-02-01Z' "
        "AND at < '2026-03-01Z'",
        f"ALTER TABLE {ORDER} ATTACH PARTITION {FEBRUARY} "
        "FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z')",
    )


def test_retention_waits_for_the_end(engine: sa.Engine) -> None:
    """
    `maintain` reports it, and takes the partitions away after `finish_conversion`.
    """
    orders(engine)
    metadata = sa.MetaData()
    model = order(rules=ByRange("at", every="1 month", retain="3 months"), metadata=metadata)
    metadata.create_all(engine)
    with engine.connect() as connection:
        convert(connection, model)
        told = maintain(connection, metadata)
        assert "is not finished" in str(told.problems[0])
        connection.rollback()
        assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS
        undo_conversion(connection, model)
        assert asked(engine, f"SELECT count(*) FROM {ORDER}") == ROWS
        convert(connection, model)
        finish_conversion(connection, model)
        assert maintain(connection, metadata).complete
    assert asked(engine, f"SELECT count(*) FROM {ORDER}") < ROWS
