SELECT DISTINCT pg_catalog.jsonb_build_array(${either})::text
FROM (SELECT * FROM ${source} AS s WHERE ${s_within}) AS s
FULL JOIN (SELECT * FROM ${target} AS t WHERE ${t_within}) AS t ON ${same}
WHERE (ROW(${s_columns}))::text IS DISTINCT FROM (ROW(${t_columns}))::text LIMIT ${rows}
