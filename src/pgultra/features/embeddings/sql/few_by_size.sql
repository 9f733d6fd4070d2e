SELECT coalesce(pg_table_size(to_regclass({table})) BETWEEN 1 AND {most_bytes}, false) AS few
