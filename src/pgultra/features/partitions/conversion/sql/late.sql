#variable_conflict use_column
-- When the foreign key is checked: the row that is referred to may have come after the one that
-- refers to it, in the same statement, or in the same transaction. If it has not come at all,
-- this is the error, for a foreign key does not look at rows of which a column is NULL.
BEGIN
    PERFORM FROM ${table} AS t WHERE ${same} ${lock} OF t;
    IF FOUND THEN
        UPDATE ${place} AS r SET ${set} FROM ${table} AS t
        WHERE ${joined} AND ${here} AND (${unfilled});
    ELSIF EXISTS (SELECT FROM ${place} AS r WHERE ${here} AND (${unfilled})) THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'insert or update on table ' OPERATOR(pg_catalog.||) ${table_name}
                OPERATOR(pg_catalog.||) ' violates foreign key constraint '
                OPERATOR(pg_catalog.||) ${constraint_name},
            DETAIL = 'No row is there with ' OPERATOR(pg_catalog.||) ${key_name},
            SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = ${constraint};
    END IF;
    RETURN NULL;
END
