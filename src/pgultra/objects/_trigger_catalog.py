"""
What the catalog tells of triggers, and how it is read.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgultra.objects._catalog import QUOTED

__all__ = ["EVENTS", "READ", "TWINS", "arguments_of", "firing_of", "when_of"]

COLUMNS = """
SELECT t.tgname AS name, t.tgtype, t.tgenabled AS enabled, t.tgdeferrable AS deferrable,
    t.tginitdeferred AS initially_deferred, t.tgconstraint <> 0 AS "constraint",
    t.tgoldtable AS old_table, t.tgnewtable AS new_table,
    pg_catalog.encode(t.tgargs, 'hex') AS arguments,
    CASE WHEN t.tgqual IS NOT NULL THEN pg_catalog.pg_get_triggerdef(t.oid) END AS definition,
    CASE WHEN pg_catalog.cardinality(t.tgattr::int2[]) = 0 THEN '{}'
        ELSE ARRAY(SELECT a.attname::text
            FROM pg_catalog.unnest(t.tgattr::int2[]) WITH ORDINALITY AS k (number, place)
            JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.tgrelid AND a.attnum = k.number
            ORDER BY k.place) END AS columns
"""
UNLIKE = """
    WITH RECURSIVE partition AS (
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
        WHERE i.inhparent = c.oid AND NOT i.inhdetachpending
        UNION ALL
        SELECT i.inhrelid FROM partition AS p
        JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.inhrelid AND NOT i.inhdetachpending)
    SELECT pg_catalog.count(*)::int FROM partition AS p
    LEFT JOIN pg_catalog.pg_trigger AS o ON o.tgrelid = p.inhrelid AND o.tgname = t.tgname
    WHERE (o.tgenabled, o.tgtype, o.tgfoid, o.tgargs)
        IS DISTINCT FROM (t.tgenabled, t.tgtype, t.tgfoid, t.tgargs)"""
"""From the catalog alone: ``pg_partition_tree`` would lock every partition."""
READ = f"""
{COLUMNS}, n.nspname, c.relname AS table, c.oid::text AS relation, p.proname AS function,
    c.relkind = 'p' AS divided, CASE WHEN c.relkind = 'p' THEN ({UNLIKE}) ELSE 0 END AS unlike,
    pn.nspname AS function_schema,
    (SELECT d.description FROM pg_catalog.pg_description AS d
        WHERE d.objoid = t.oid AND d.classoid = 'pg_catalog.pg_trigger'::regclass
            AND d.objsubid = 0) AS description
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0
    AND (t.oid IN (SELECT pg_catalog.unnest(CAST(:marked AS oid[])))
        OR t.tgname IN (SELECT pg_catalog.unnest(CAST(:names AS name[]))))
ORDER BY n.nspname, c.relname, t.tgname
"""  # noqa: S608  # constants of this file only
TWINS = f"""
{COLUMNS}, c.relname
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = pg_catalog.pg_my_temp_schema() AND c.relname = ANY (:names)
"""
EVENTS = (("INSERT", 4), ("DELETE", 8), ("UPDATE", 16), ("TRUNCATE", 32))
WHEN = re.compile(r" WHEN \((.*)\) EXECUTE FUNCTION ", re.DOTALL)


def when_of(definition: str) -> str | None:
    """
    The condition, from the definition; what stands in quotes is no syntax.
    """
    found = WHEN.search(QUOTED.sub(lambda quoted: "." * len(quoted[0]), definition))
    return definition[found.start(1) : found.end(1)] if found else None


@lru_cache(maxsize=128)
def firing_of(bits: int) -> tuple[str, tuple[str, ...], str]:
    """
    Timing, events and level, from ``tgtype``.
    """
    timing = "BEFORE" if bits & 2 else "INSTEAD OF" if bits & 64 else "AFTER"
    events = tuple(event for event, bit in EVENTS if bits & bit)
    return timing, events, "ROW" if bits & 1 else "STATEMENT"


def arguments_of(encoded: str) -> tuple[str, ...]:
    return tuple(part.decode() for part in bytes.fromhex(encoded).split(b"\x00")[:-1])
