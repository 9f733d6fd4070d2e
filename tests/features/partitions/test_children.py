from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import sql
from pgultra.features.partitions import ByHash
from pgultra.features.partitions.attempts import Attempts
from pgultra.features.partitions.children import CHILDREN, parents_of, read_children
from tests.features.partitions.upkeep_stage import MOMENT, event_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

COMPILED = 100_000
"""PostgreSQL's jit_above_cost: plans that it expects to cost more are compiled."""


def cost(connection: Connection, oids: list[int]) -> float:
    """
    What PostgreSQL expects the look at all partitions to cost.
    """
    given = ", ".join(map(str, oids))
    query = CHILDREN.replace(":parents", f"'{{{given}}}'")
    plan = connection.execute(sql.statement(f"EXPLAIN (FORMAT json) {query}")).scalar_one()
    return float(plan[0]["Plan"]["Total Cost"])


@pytest.mark.slow
def test_the_look_at_many_partitions_is_not_compiled(engine: sa.Engine) -> None:
    """
    Not even with fresh statistics; compiling takes ten times as long as the look itself.
    """
    metadata = sa.MetaData()
    for number in range(5):
        event_table(metadata, f"event_{number}", start=MOMENT - timedelta(days=1500), premake=50)
    for table in metadata.sorted_tables:
        with engine.begin() as connection:
            metadata.create_all(connection, tables=[table])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    with engine.connect() as connection:
        parents = parents_of(connection, metadata)
        assert len(read_children(connection, parents)) > 400
        assert cost(connection, [each.oid for each in parents if each.oid]) < COMPILED / 10
        assert connection.exec_driver_sql("SHOW jit_above_cost").scalar_one() == str(COMPILED)


def test_every_level_is_read(engine: sa.Engine) -> None:
    """
    Partitions of partitions too, with their parents, their level, and the type of their key.
    """
    table = event_table(premake=1, then=ByHash("id", 2))
    with engine.begin() as connection:
        table.metadata.create_all(connection)
        (parent,) = parents_of(connection, table.metadata)
        found = read_children(connection, [parent])
        upper = [each for each in found if each.level == 1]
        lower = [each for each in found if each.level == 2]
        assert {each.parent_oid for each in upper} == {parent.oid}
        assert {each.parent_oid for each in lower} == {each.oid for each in upper}
        assert {each.root_oid for each in found} == {parent.oid}
        assert len(lower) == 2 * len(upper) > 0
        assert all(each.is_partitioned for each in upper)
        # asked about one in the middle, it answers with what is below that
        below = read_children(connection, [upper[0].oid], "default")
        assert [each.parent_oid for each in below] == [upper[0].oid] * 2
        assert [each.level for each in below] == [1, 1]


def test_upkeep_compiles_nothing(engine: sa.Engine) -> None:
    """
    In its own transactions, and the host's setting is there again afterwards.
    """
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SHOW jit").scalar_one()
        connection.rollback()
        with Attempts(connection).transaction() as within:
            assert within.exec_driver_sql("SHOW jit").scalar_one() == "off"
        assert connection.exec_driver_sql("SHOW jit").scalar_one() == before
