-- More rows match than the limit; EXISTS stops at the first beyond it.
EXISTS (SELECT FROM ({rows}) AS pgultra_rows OFFSET {limit})
