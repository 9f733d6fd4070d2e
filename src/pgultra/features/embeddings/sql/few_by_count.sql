SELECT count(*) <= {limit} AS few
FROM (SELECT FROM ({rows}) AS pgultra_rows LIMIT {limit} + 1) AS pgultra_counted
