-- The best of the index, if it is the quicker way and gave k; else the best of all. Where few
-- rows match, the index gives nothing.
WITH pgultra_near AS MATERIALIZED (
    SELECT {keys}, distance
    FROM ({rows}) AS pgultra_rows
    WHERE NOT ({few})
        AND (SELECT concat({settings})) IS NOT NULL
    ORDER BY {order}
    LIMIT {candidates}
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
