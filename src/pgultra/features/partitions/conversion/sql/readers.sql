-- The materialized views that read a table, or read such a one, each after all that it reads.
-- One that reads a plain view is none of them: the plain view is turned. But it counts for order.
WITH RECURSIVE reads AS (
    ${reads}
), known AS (
    SELECT r.reader, r.read, c.relkind, c.relname FROM reads AS r
    JOIN pg_catalog.pg_class AS c ON c.oid = r.reader
    WHERE c.relkind = 'v' OR c.relkind = 'm' AND c.relname <> ALL (${lost})
), found AS (
    SELECT k.reader, k.relkind, k.relname, k.relkind = 'm' AS touched, 1 AS depth
    FROM known AS k WHERE k.read = ${oid}
    UNION
    SELECT k.reader, k.relkind, k.relname, f.touched AND k.relkind = 'm', f.depth + 1
    FROM found AS f JOIN known AS k ON k.read = f.reader WHERE f.depth < 100
)
SELECT f.reader::bigint FROM found AS f WHERE f.relkind = 'm'
GROUP BY f.reader, f.relname HAVING pg_catalog.bool_or(f.touched)
ORDER BY pg_catalog.max(f.depth), f.relname
