WITH page AS MATERIALIZED (
    SELECT r.ctid AS place, ${theirs} FROM ${place} AS r JOIN ${table} AS t ON ${same}
    WHERE r.ctid >= '(${low},0)'::pg_catalog.tid AND r.ctid < '(${high},0)'::pg_catalog.tid
        AND (${differs})
    FOR NO KEY UPDATE OF r FOR SHARE OF t
), filled AS (
    UPDATE ${place} AS r SET ${set} FROM page WHERE r.ctid = page.place RETURNING 1
)
SELECT pg_catalog.count(*) FROM filled
