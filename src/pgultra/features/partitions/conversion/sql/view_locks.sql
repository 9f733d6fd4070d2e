-- Statements that lock the plain views on a table, and change nothing.
WITH reads AS (
    ${reads}
)
SELECT pg_catalog.format('ALTER VIEW %I.%I OWNER TO %I', n.nspname, v.relname,
    pg_catalog.pg_get_userbyid(v.relowner))
FROM reads AS r
JOIN pg_catalog.pg_class AS v ON v.oid = r.reader AND v.relkind = 'v'
JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
WHERE r.read = ${oid} ORDER BY 1
