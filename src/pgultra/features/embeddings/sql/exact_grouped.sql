-- The nearest row of every key, sorted.
SELECT {keys}, min(distance) AS distance
FROM ({rows} OFFSET 0) AS pgultra_rows
WHERE {condition} distance IS NOT NULL
GROUP BY {keys}
ORDER BY min(distance), {keys}
LIMIT {k}
