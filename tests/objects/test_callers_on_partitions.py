"""
Who calls a function: a partitioned table once, and not each of its partitions again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra import plan
from pgultra.objects._callers import callers_of

if TYPE_CHECKING:
    import sqlalchemy as sa


def test_partitions_are_no_callers_of_their_own(connection: sa.Connection) -> None:
    """
    Their checks, indexes and defaults go with those of the table above them.
    """
    for statement in (
        "CREATE FUNCTION sane(n integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT n > 0'",
        (
            "CREATE TABLE event (id integer, ok boolean DEFAULT sane(1), "
            "CONSTRAINT event_sane CHECK (sane(id))) PARTITION BY RANGE (id)"
        ),
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (100)",
        (
            "CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (100) TO (200) "
            "PARTITION BY RANGE (id)"
        ),
        "CREATE TABLE event_3 PARTITION OF event_2 FOR VALUES FROM (100) TO (200)",
        "CREATE INDEX event_index ON event (sane(id))",
        "CREATE TABLE plain (ok boolean DEFAULT sane(1))",
    ):
        connection.exec_driver_sql(statement)
    scope = plan.scope_of(connection, [], plan.State([]), application="default")
    [found] = callers_of(connection, [("public", "sane", "n integer")], scope)
    assert [(each.kind, each.name, each.table) for each in found] == [
        ("check", "event_sane", "event"),
        ("column", "ok", "event"),
        ("column", "ok", "plain"),
        ("index", "event_index", "event"),
    ]
