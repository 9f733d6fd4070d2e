-- The best of the index, if it is the quicker way and gave k; else the best of all. Where few
-- rows match, the index gives nothing. The parts are taken in their order: where the first gives
-- its k, the last LIMIT is reached, and the second does not begin.
WITH pgultra_near AS MATERIALIZED (
    SELECT {keys}, distance
    FROM ({rows}) AS pgultra_rows
    WHERE {many} AND {planned}
        (SELECT concat({settings})) IS NOT NULL
    ORDER BY {order}
    LIMIT {candidates}
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
