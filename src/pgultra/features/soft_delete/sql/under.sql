-- Refuses a live row below a dead parent.
--
-- FOR KEY SHARE holds each parent until the transaction ends: whoever deletes it waits, or is
-- waited for.  Restored rows are looked at by restore, at the end of their statement.
--
-- Trigger argument, as JSON:
--   deleted_at  the column of this table
--   above       [{schema, name, deleted_at, on}], in the order of locks; a missing schema is that
--               of the trigger's table, on is pairs of columns: the parent's, this table's.
--
-- The search_path is the caller's, so every function is named with its schema.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    homes text[] := ARRAY[TG_TABLE_SCHEMA::text];
    home text;
    edge jsonb;
    parent_name text;
    parent_key text;
    parent_dead boolean;
    lived boolean;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        EXECUTE pg_catalog.format('SELECT ($1).%I IS NULL', facts ->> 'deleted_at')
            INTO lived USING OLD;
        IF NOT lived THEN
            RETURN NEW;
        END IF;
    END IF;
    -- include home.sql
    FOREACH home IN ARRAY homes LOOP
        FOR edge IN SELECT pg_catalog.jsonb_array_elements(facts -> 'above') LOOP
            parent_name := pg_catalog.format(
                '%I.%I', coalesce(edge ->> 'schema', home), edge ->> 'name'
            );
            -- The aggregates keep the condition out of the locking query: a live parent is locked too.
            EXECUTE pg_catalog.format(
                'SELECT pg_catalog.bool_or(dead), pg_catalog.min(key) FILTER (WHERE dead) FROM ('
                'SELECT p.%I IS NOT NULL, pg_catalog.concat_ws('', '', %s) FROM %s AS p WHERE %s'
                ' FOR KEY SHARE) AS held (dead, key)',
                edge ->> 'deleted_at',
                (
                    SELECT pg_catalog.string_agg(pg_catalog.format('p.%I', pair ->> 0), ', ')
                    FROM pg_catalog.jsonb_array_elements(edge -> 'on') AS pair
                ),
                parent_name,
                (
                    SELECT pg_catalog.string_agg(
                        pg_catalog.format('p.%I = ($1).%I', pair ->> 0, pair ->> 1), ' AND '
                    )
                    FROM pg_catalog.jsonb_array_elements(edge -> 'on') AS pair
                )
            ) INTO parent_dead, parent_key USING NEW;
            IF parent_dead THEN
                RAISE EXCEPTION
                    'a live row of table %.% cannot stand below row (%) of table %, which is deleted',
                    pg_catalog.quote_ident(TG_TABLE_SCHEMA), pg_catalog.quote_ident(TG_TABLE_NAME),
                    parent_key, parent_name
                    USING ERRCODE = 'foreign_key_violation',
                    SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                    HINT = 'Restore that row first, or refer to one that is not deleted.';
            END IF;
        END LOOP;
    END LOOP;
    RETURN NEW;
END
