DECLARE
    place pg_catalog.regclass;
BEGIN
    FOR place IN
        SELECT k.conrelid FROM pg_catalog.pg_constraint AS k
        WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conname = ${called}
            AND k.confrelid = ${referred}::pg_catalog.regclass
            AND k.conrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(${table}))
        ORDER BY k.conrelid
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', place, ${called});
    END LOOP;
END
