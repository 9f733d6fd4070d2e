"""
Which partitions a statement touches: for tests that a query has its key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from pgultra.bridge import on_connection
from pgultra.objects._catalog import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

__all__ = ["assert_pruned", "partitions_touched"]

LEAVES = """
WITH RECURSIVE tree AS (
    SELECT p.partrelid AS oid, p.partrelid AS root
    FROM pg_catalog.pg_partitioned_table AS p
    JOIN pg_catalog.pg_class AS c ON c.oid = p.partrelid AND NOT c.relispartition
    UNION ALL
    SELECT h.inhrelid, t.root
    FROM tree AS t JOIN pg_catalog.pg_inherits AS h ON h.inhparent = t.oid
)
SELECT n.nspname AS schema, c.relname AS name, rn.nspname AS root_schema, r.relname AS root_name
FROM tree AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid AND c.relkind <> 'p'
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS r ON r.oid = t.root
JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
"""


class _Explain(Executable, ClauseElement):
    """
    EXPLAIN around a statement, with its parameters.
    """

    inherit_cache = False
    _inline = False

    def __init__(self, statement: Any, *, analyze: bool) -> None:
        self.statement = statement
        self.analyze = analyze


@compiles(_Explain)
def _explain(element: _Explain, compiler: Any, **options: Any) -> str:
    analyze = "ANALYZE, TIMING off, " if element.analyze else ""
    inner = compiler.process(element.statement, **options)
    compiler.isinsert = compiler.isupdate = compiler.isdelete = False  # it answers with a plan
    return f"EXPLAIN ({analyze}VERBOSE, COSTS off, FORMAT json) {inner}"


@on_connection
def partitions_touched(
    connection: Connection,
    statement: Any,  # a select, insert, update or delete; text() too
    parameters: Mapping[str, Any] | None = None,
    *,
    analyze: bool = False,
) -> dict[str, tuple[str, ...]]:
    """
    Tell which partitions a statement reads or changes, by partitioned table.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        statement: what would be run.
        parameters: its parameters.
        analyze: run it, and roll that back: it shows what is pruned only when values are
            known, as in joins.

    Example:
        ``partitions_touched(connection, select(Event))`` gives
        ``{"public.event": ("public.event_2026_01", …)}``
    """
    families: dict[tuple[str, str], str] = {}
    number: dict[str, int] = {}
    for row in rows(connection, LEAVES):
        root = f"{row.root_schema}.{row.root_name}"
        families[row.schema, row.name] = root
        number[root] = number.get(root, 0) + 1
    nested = connection.begin_nested() if analyze else None
    try:
        result = connection.execute(
            _Explain(statement, analyze=analyze), dict(parameters) if parameters else {}
        )
        told = result.scalar_one()
    finally:
        if nested is not None:
            nested.rollback()
    plan = json.loads(told) if isinstance(told, str) else told
    found: dict[str, set[str]] = {}
    for place in _scanned(plan[0]["Plan"]):
        if place in families:
            found.setdefault(families[place], set()).add(".".join(place))
    return {root: tuple(sorted(names)) for root, names in found.items()}


def _scanned(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if node.get("Actual Loops", 1) == 0:  # pruned when it ran
        return
    if "Relation Name" in node:
        yield node.get("Schema", ""), node["Relation Name"]
    for below in node.get("Plans", ()):
        yield from _scanned(below)


@on_connection
def assert_pruned(
    connection: Connection,
    statement: Any,  # a select, insert, update or delete; text() too
    parameters: Mapping[str, Any] | None = None,
    *,
    at_most: int = 1,
    analyze: bool = False,
) -> None:
    """
    Fail if a statement touches more partitions of a table than it should.

    Without the partition key in its WHERE, a statement reads every partition: with 120 of
    them, a look-up takes some ten times as long as on a plain table.

    Args:
        connection: a Connection; with an AsyncConnection, await the result.
        statement: what would be run.
        parameters: its parameters.
        at_most: how many partitions of one table are fine.
        analyze: run it and roll back; see `partitions_touched`.

    Raises:
        AssertionError: it names the table and the partitions.

    Example:
        ``assert_pruned(connection, select(Event).where(Event.occurred_at == moment))``
    """
    touched = partitions_touched(connection, statement, parameters, analyze=analyze)
    for table, names in touched.items():
        if len(names) > at_most:
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise AssertionError(
                f"the statement touches {len(names)} partitions of {table}, more than {at_most}: "
                f"{shown}. Compare the partition key with plain values in its WHERE, without a "
                "function around the column"
            )
