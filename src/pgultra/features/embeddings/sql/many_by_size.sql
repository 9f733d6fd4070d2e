-- A table whose main part alone is too large needs no look at the files beside it.
(SELECT CASE
    WHEN pg_relation_size(to_regclass({table})) > {most_bytes} THEN true
    ELSE coalesce(pg_table_size(to_regclass({table})) NOT BETWEEN 1 AND {most_bytes}, true)
END)
