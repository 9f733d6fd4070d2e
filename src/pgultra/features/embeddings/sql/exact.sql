-- All matching rows, sorted; those without a vector come last and are cut. "+ 0": no index has
-- this order, and the distance is computed once for each.
SELECT *
FROM (
    SELECT {keys}, distance + 0 AS distance
    FROM ({rows}) AS pgultra_rows
    ORDER BY distance, {keys}
    LIMIT {k}
) AS pgultra_exact
WHERE distance IS NOT NULL
