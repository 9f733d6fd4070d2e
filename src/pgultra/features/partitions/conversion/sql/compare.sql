SELECT o.rows, o.checksum, n.rows AS copied_rows, n.checksum AS copied_checksum
FROM (SELECT pg_catalog.count(*) AS rows, COALESCE(pg_catalog.sum(
        pg_catalog.hashtextextended((ROW(${s_columns}))::text, 0)), 0)::text AS checksum
    FROM ${source} AS s WHERE ${s_within}) AS o,
    (SELECT pg_catalog.count(*) AS rows, COALESCE(pg_catalog.sum(
        pg_catalog.hashtextextended((ROW(${t_columns}))::text, 0)), 0)::text AS checksum
    FROM ${target} AS t WHERE ${t_within}) AS n
