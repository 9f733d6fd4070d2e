DECLARE
    leaf pg_catalog.regclass;
BEGIN
    FOR leaf IN
        SELECT t.relid FROM pg_catalog.pg_partition_tree(${table}) AS t WHERE t.isleaf
        ORDER BY t.relid::pg_catalog.oid
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', leaf, ${called}, ${definition});
    END LOOP;
END
