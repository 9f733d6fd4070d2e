-- A query with each unknown word replaced by the nearest of the vocabulary; NULL if there is nothing to replace.
--
-- One slip (a letter more, less, another, or two swapped) touches at most four trigrams that stand side by side.
-- So a word within one slip has the first k and the last s - k trigrams of what was typed, for some k, where s is
-- four less than there are: each such group is one branch of `near`, and few words of the vocabulary pass.
-- Only if none passes, all words that share a trigram are looked at.
--
-- A piece is what stands between spaces. Its words are what stands between marks, as the vocabulary counts them: l'amour
-- is two words. In paths, addresses and such nothing is corrected.
WITH pieces AS MATERIALIZED (
    SELECT
        p.place, w.number, w.found[1] AS typed, w.found[2] AS marks,
        CASE WHEN btrim(p.piece, '"''`()[]{}<>-+*.,;:!?') !~ '[0-9/@._%]' THEN lower(w.found[1]) END AS word
    FROM regexp_split_to_table(left(CAST({query} AS text), 1000), E'\\s+') WITH ORDINALITY AS p (piece, place)
    CROSS JOIN LATERAL regexp_matches(p.piece, E'([^{marks}]*)([{marks}]*)', 'g') WITH ORDINALITY AS w (found, number)
    LIMIT 1100  -- more than a thousand characters give; PostgreSQL would expect ten thousand
),
strange AS MATERIALIZED (
    SELECT DISTINCT p.word
    FROM pieces AS p
    WHERE length(p.word) BETWEEN 4 AND 40
        AND NOT EXISTS (SELECT FROM {words} AS w WHERE w.word = p.word COLLATE "C" AND w.count > 0)
        AND {no_stop_word}
    LIMIT 16
),
recent AS MATERIALIZED (
    -- what was written since the last roll-up: no index tells, so it is looked through once, and only for strange words
    SELECT d.word
    FROM {delta} AS d
    WHERE (SELECT count(*) FROM strange) > 0
        AND d.word = ANY (ARRAY(SELECT s.word COLLATE "C" FROM strange AS s))
    GROUP BY d.word
    HAVING sum(d.change) > 0
),
unknown AS MATERIALIZED (
    SELECT s.word FROM strange AS s WHERE NOT EXISTS (SELECT FROM recent AS r WHERE r.word = s.word COLLATE "C")
),
trigrams AS MATERIALIZED (
    SELECT
        u.word,
        array_agg(quoted ORDER BY place) AS list,
        string_agg(quoted, '|')::tsquery AS shared,
        greatest(length(u.word) - 3, 1) AS kept
    FROM unknown AS u
    CROSS JOIN generate_series(1, length(u.word) + 1) AS place
    CROSS JOIN LATERAL (
        SELECT '''' || replace(replace(substr('  ' || u.word || ' ', place, 3), E'\\', E'\\\\'), '''', '''''') || ''''
    ) AS one (quoted)
    GROUP BY u.word
),
asked AS MATERIALIZED (
    SELECT t.word, t.shared, (
        SELECT string_agg(
            '(' || array_to_string(t.list[1:k] || t.list[cardinality(t.list) - t.kept + k + 1:], '&') || ')', '|'
        )::tsquery
        FROM generate_series(0, t.kept) AS k
    ) AS near
    FROM trigrams AS t
),
close AS MATERIALIZED (
    SELECT a.word AS typed, w.word, w.count, w.trigrams
    FROM asked AS a
    JOIN {words} AS w ON w.trigrams @@ a.near AND w.count > 0
),
found AS MATERIALIZED (
    SELECT * FROM close
    UNION ALL
    SELECT a.word, w.word, w.count, w.trigrams
    FROM asked AS a
    JOIN {words} AS w ON w.trigrams @@ a.shared AND w.count > 0
        AND length(w.word) BETWEEN length(a.word) - 2 AND length(a.word) + 2
    WHERE NOT EXISTS (SELECT FROM close AS c WHERE c.typed = a.word)
),
compared AS (
    -- ts_rank of a vector without places is a constant for each trigram that is shared, over those of the query
    SELECT f.typed, f.word, f.count, 2 * r.shared / (length(f.word) + length(f.typed) + 2.0) AS similarity
    FROM found AS f
    JOIN asked AS a ON a.word = f.typed
    CROSS JOIN LATERAL (
        SELECT ts_rank(f.trigrams, a.shared) * numnode(a.shared) / 2 * 16.4493406685 AS shared
    ) AS r
),
best AS (
    SELECT DISTINCT ON (typed) typed, word, similarity
    FROM compared
    WHERE similarity >= {threshold}
    ORDER BY typed, similarity DESC, count DESC, word
)
SELECT CASE WHEN bool_or(l.corrected) THEN string_agg(l.text, ' ' ORDER BY l.place) END AS did_you_mean
FROM (
    SELECT
        p.place,
        string_agg(coalesce(b.word, p.typed) || p.marks, '' ORDER BY p.number) AS text,
        count(b.word) > 0 AS corrected
    FROM pieces AS p
    LEFT JOIN best AS b ON b.typed = p.word
    GROUP BY p.place
) AS l
