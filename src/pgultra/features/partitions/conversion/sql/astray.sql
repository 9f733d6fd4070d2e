-- A materialized view by its name, if it reads one of the others; its owner, and
-- statements that lock the plain views on it. Nothing here locks it, as pg_get_viewdef may.
WITH reads AS (
    ${reads}
)
SELECT v.oid::bigint AS oid, pg_catalog.pg_get_userbyid(v.relowner)::text AS owner, ARRAY(
    SELECT pg_catalog.format('ALTER VIEW %I.%I OWNER TO %I', n.nspname, p.relname,
        pg_catalog.pg_get_userbyid(p.relowner))
    FROM reads AS r
    JOIN pg_catalog.pg_class AS p ON p.oid = r.reader AND p.relkind = 'v'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = p.relnamespace
    WHERE r.read = v.oid ORDER BY 1) AS view_locks
FROM pg_catalog.pg_class AS v
WHERE v.oid = pg_catalog.to_regclass(${place}) AND v.relkind = 'm'
    AND EXISTS (SELECT FROM reads AS r WHERE r.reader = v.oid AND r.read IN (${others}))
