WITH page AS MATERIALIZED (
    SELECT ${s_columns} FROM ${source} AS s WHERE ${within} ORDER BY ${order} FOR SHARE OF s${skip}
), copied AS (
    INSERT INTO ${target} (${columns}) OVERRIDING SYSTEM VALUE
    SELECT ${columns} FROM page${conflict} RETURNING 1
)
SELECT (SELECT pg_catalog.count(*) FROM page) AS seen,
    (SELECT pg_catalog.count(*) FROM copied) AS copied
