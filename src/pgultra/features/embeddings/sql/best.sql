-- "+ 0": a relaxed scan is not quite in order, though the planner takes it for sorted.
ORDER BY distance + 0, {keys}
LIMIT {k}
