-- With its parameters known nothing is left of it: true. A plan for any parameters counts it in,
-- which costs next to nothing where few rows are expected, and up to 44,000 where many are: more
-- than any plan that knows better, and less than what is compiled (jit). Never executed.
({true} OR (
    SELECT count(*) > 0
    FROM (SELECT FROM ({rows}) AS pgultra_rows LIMIT 10000 OFFSET {limit}) AS pgultra_many,
        generate_series(1, 350)
)) AND
