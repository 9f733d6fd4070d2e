-- As nearest.sql, for chunks: if the nearest chunks are those of k parents or more, the k
-- nearest parents are among them, for each chunk that is nearer is there too.
WITH pgultra_chunks AS MATERIALIZED (
    SELECT {keys}, distance
    FROM ({rows}) AS pgultra_rows
    WHERE NOT ({few})
        AND (SELECT concat({settings})) IS NOT NULL
    ORDER BY {order}
    LIMIT {candidates}
),
pgultra_near AS MATERIALIZED (
    SELECT {keys}, min(distance) AS distance
    FROM pgultra_chunks
    GROUP BY {keys}
)
SELECT *
FROM (
    SELECT {keys}, distance
    FROM pgultra_near
    WHERE (SELECT count(distance) FROM pgultra_near) >= {k}
    {best}
) AS pgultra_best
UNION ALL
SELECT *
FROM (
    {exact}
) AS pgultra_exact
UNION ALL
{cheap}
LIMIT {k} + {k}
