-- The nearest row of every key, sorted. OFFSET 0: the distance is computed once for each.
SELECT {keys}, min(distance) AS distance
FROM ({rows} OFFSET 0) AS pgultra_rows
WHERE distance IS NOT NULL
GROUP BY {keys}
ORDER BY min(distance), {keys}
LIMIT {k}
