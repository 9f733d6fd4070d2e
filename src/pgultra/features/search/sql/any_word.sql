-- The words of a query by their rarity, an OR of words at each place: the more frequent ones come first, NULL where none is.
--
-- How frequent a word is, PostgreSQL's own statistics of the column tell, as old as the last ANALYZE. A word that they
-- do not list is taken for half as frequent as the rarest that they do. Without statistics (none yet, or row-level
-- security hides them) all words are alike.
WITH known AS MATERIALIZED (
    SELECT u.word, u.frequency
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname
    CROSS JOIN LATERAL unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) AS u (word, frequency)
    WHERE c.oid = (SELECT tableoid FROM {table} LIMIT 1) AND s.attname = {column} AND NOT s.inherited
)
SELECT array_agg(w.words ORDER BY place)
FROM generate_series(1, {groups}) AS place
LEFT JOIN (
    SELECT a.rarity, string_agg(a.word, ' | ')::tsquery AS words
    FROM (
        SELECT
            '''' || replace(replace(t.lexeme, E'\\', E'\\\\'), '''', '''''') || '''' AS word,
            greatest(1, least({groups}, round(coalesce(ln(1 + 1 / coalesce(k.frequency, l.frequency / 2)), 1)))) AS rarity
        FROM unnest({vector}) AS t
        LEFT JOIN known AS k ON k.word = t.lexeme
        CROSS JOIN (SELECT min(frequency) AS frequency FROM known) AS l
    ) AS a
    GROUP BY a.rarity
) AS w ON w.rarity = place
