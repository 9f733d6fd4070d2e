    IF facts ? 'home' THEN
        -- A table without a declared schema is where the foreign key of a neighbour leads: in every
        -- schema that has such a table, for schemas of tenants may share the neighbour.
        homes := ARRAY(
            SELECT DISTINCT n.nspname::text
            FROM pg_catalog.pg_constraint AS k
            JOIN pg_catalog.pg_class AS other
                ON other.oid IN (k.conrelid, k.confrelid) AND other.relname = facts #>> '{home,to}'
            JOIN pg_catalog.pg_attribute AS a
                ON a.attrelid = other.oid AND a.attname = facts #>> '{home,deleted_at}'
            JOIN pg_catalog.pg_namespace AS n ON n.oid = other.relnamespace
            WHERE k.contype = 'f' AND pg_catalog.format(
                '%I.%I', facts #>> '{home,from,0}', facts #>> '{home,from,1}'
            )::regclass IN (k.conrelid, k.confrelid)
            ORDER BY 1
        );
        IF pg_catalog.cardinality(homes) = 0 THEN
            RAISE EXCEPTION
                'cannot tell the schema of table %: no foreign key joins it to table %.%',
                facts #>> '{home,to}', facts #>> '{home,from,0}', facts #>> '{home,from,1}'
                USING HINT = 'Declare its schema in the model.';
        END IF;
    END IF;
