DO $$$$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT k.conrelid::pg_catalog.regclass AS place, k.conname
        FROM pg_catalog.pg_constraint AS k
        WHERE k.contype = 'f' AND k.conparentid = 0 AND (
            k.conrelid = ${table}::pg_catalog.regclass
            OR k.conrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(${table}))
        )
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', each.place, each.conname);
    END LOOP;
END
$$$$
