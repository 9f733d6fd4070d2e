-- A materialized view by its name, if it reads one of the others; and its owner.
WITH reads AS (
    ${reads}
)
SELECT v.oid::bigint AS oid, pg_catalog.pg_get_userbyid(v.relowner)::text AS owner
FROM pg_catalog.pg_class AS v
WHERE v.oid = pg_catalog.to_regclass(${place}) AND v.relkind = 'm'
    AND EXISTS (SELECT FROM reads AS r WHERE r.reader = v.oid AND r.read IN (${others}))
