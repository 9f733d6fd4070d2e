-- All matching rows, sorted. OFFSET 0: the distance is computed once for each.
SELECT {keys}, distance
FROM ({rows} OFFSET 0) AS pgultra_rows
WHERE {condition} distance IS NOT NULL
ORDER BY distance, {keys}
LIMIT {k}
