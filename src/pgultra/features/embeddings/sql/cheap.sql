-- Never executed: what tells so is asked once, and needs no plan of its own. It tells the planner
-- that of very many rows the first few are wanted. Else it would count in the cost of the exact
-- branch, which is hardly ever executed either, and compile the whole statement (jit) for each
-- search of a large table, which takes a hundred searches' time.
SELECT {nulls}, NULL
FROM generate_series(1, 1000000000)
WHERE pg_backend_pid() = 0
