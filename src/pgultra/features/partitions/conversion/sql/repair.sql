WITH held AS MATERIALIZED (
    SELECT ${s_columns} FROM ${source} AS s WHERE ${s_within} ORDER BY ${order} FOR SHARE OF s
), gone AS (
    DELETE FROM ${target} AS t WHERE ${t_within}
        AND NOT EXISTS (SELECT FROM held AS s WHERE ${same}) RETURNING 1
), changed AS (
    UPDATE ${target} AS t SET ${assigned} FROM held AS s
    WHERE ${same} AND (ROW(${s_columns}))::text <> (ROW(${t_columns}))::text RETURNING 1
)
SELECT (SELECT pg_catalog.count(*) FROM gone) + (SELECT pg_catalog.count(*) FROM changed)
