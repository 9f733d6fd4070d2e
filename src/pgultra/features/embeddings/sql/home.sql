    IF pg_partition_root(TG_RELID) IS NOT NULL THEN
        -- A partition may be in another schema than the table that the trigger was made for.
        SELECT n.nspname INTO home
        FROM pg_partition_ancestors(TG_RELID) WITH ORDINALITY AS a (relation, level)
        JOIN pg_trigger AS t
            ON t.tgrelid = a.relation AND t.tgname = TG_NAME AND t.tgparentid = 0
        JOIN pg_class AS c ON c.oid = a.relation
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        ORDER BY a.level DESC
        LIMIT 1;
    END IF;
