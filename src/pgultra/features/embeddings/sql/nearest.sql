-- The best of the index, if it is the quicker way and gave k; else the best of all.
-- "+ 0": a relaxed scan is not quite in order, though the planner takes it for sorted.
WITH pgultra_few AS MATERIALIZED (
    {few}
),
pgultra_near AS MATERIALIZED (
    SELECT {keys}, distance
    FROM ({rows}) AS pgultra_rows
    WHERE NOT (SELECT few FROM pgultra_few)
        AND (SELECT concat({settings})) IS NOT NULL
    ORDER BY {order}
    LIMIT {candidates}
)
SELECT *
FROM (
    SELECT {keys}, distance
    FROM pgultra_near
    WHERE (SELECT count(distance) FROM pgultra_near) >= {k}
    ORDER BY distance + 0, {keys}
    LIMIT {k}
) AS pgultra_best
UNION ALL
SELECT *
FROM (
    {exact}
) AS pgultra_exact
