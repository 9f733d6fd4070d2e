-- A TRUNCATE of the table, or of one of its partitions, empties the other table as far.
BEGIN
    IF TG_RELID OPERATOR(pg_catalog.=) ${oid}::pg_catalog.oid THEN
        TRUNCATE ${target};
    ELSIF pg_catalog.pg_get_partition_constraintdef(TG_RELID) IS NOT NULL THEN -- not detached
        EXECUTE 'DELETE FROM ${target_quoted} WHERE '
            OPERATOR(pg_catalog.||) pg_catalog.pg_get_partition_constraintdef(TG_RELID);
    END IF;
    RETURN NULL;
END
