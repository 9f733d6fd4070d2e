#variable_conflict use_column
-- The columns of the partition key have changed: who refers to the row has them too.
BEGIN
    UPDATE ${place} AS r SET ${set} WHERE ${same} AND (${differs});
    RETURN NULL;
END
