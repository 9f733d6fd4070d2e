-- As nearest.sql, where a key comes several times: with each chunk of a parent, or with each row
-- that a join gives. If the nearest are those of k keys or more, the k nearest keys are among
-- them, for each row that is nearer is there too.
WITH pgultra_nearest AS MATERIALIZED (
    SELECT {keys}, distance
    FROM ({rows}) AS pgultra_rows
    WHERE {many} AND {planned}
        (SELECT concat({settings})) IS NOT NULL
    ORDER BY {order}
    LIMIT {candidates}
),
pgultra_near AS MATERIALIZED (
    SELECT {keys}, min(distance) AS distance
    FROM pgultra_nearest
    GROUP BY {keys}
)
(
    SELECT {keys}, distance
    FROM pgultra_near
    WHERE {enough}
    {best}
)
UNION ALL
(
    {exact}
)
UNION ALL
{cheap}
LIMIT {k}
