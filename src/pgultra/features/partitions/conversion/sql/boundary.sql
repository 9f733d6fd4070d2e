SELECT pg_catalog.jsonb_build_array(${last})::text FROM (SELECT ${order} FROM ${source} AS s
    WHERE ${within} ORDER BY ${order} OFFSET ${rows} LIMIT 1) AS k
