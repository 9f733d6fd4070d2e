BEGIN
    LOCK TABLE ${place} IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = ${table}::pg_catalog.regclass AND k.conname = ${called}
    ) THEN
        RETURN;
    END IF;
    IF EXISTS (
        SELECT FROM pg_catalog.pg_partition_tree(${table}) AS t
        WHERE t.isleaf AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint AS k
            WHERE k.conrelid = t.relid AND k.conname = ${called} AND k.convalidated)
    ) THEN
        RAISE EXCEPTION USING MESSAGE = 'a partition came meanwhile',
            ERRCODE = 'serialization_failure';
    END IF;
    ALTER TABLE ${place} ADD CONSTRAINT ${constraint} ${definition};
END
