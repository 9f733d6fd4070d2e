-- What writers counted goes into the vocabulary; only one session at a time does it.
WITH taken AS (
    DELETE FROM {delta} RETURNING word, change
),
sums AS (
    SELECT word, sum(change) AS change FROM taken GROUP BY word HAVING sum(change) <> 0
)
INSERT INTO {words} AS w (word, count, trigrams)
SELECT s.word, s.change, (
    SELECT array_to_tsvector(array_agg(DISTINCT substr('  ' || s.word || ' ', place, 3)))
    FROM generate_series(1, length(s.word) + 1) AS place
)
FROM sums AS s
ORDER BY s.word
ON CONFLICT (word) DO UPDATE SET count = w.count + excluded.count
