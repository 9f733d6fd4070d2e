-- Keeps the soft-delete columns of one row true: since when, by whom, in which deletion, the flag.
--
-- Trigger argument, as JSON:
--   table    a name for the log
--   key      the primary key
--   deleted_at, deleted_by, deletion_id, flag: names of columns; flag may be missing
--   cascade  rows hang below this table: deleting locks, and is logged for cascade
--   restore  rows hang above or below: restoring is logged for restore
--
-- The search_path is the caller's, so every function is named with its schema.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    flag_name CONSTANT text := pg_catalog.quote_ident(facts ->> 'flag');
    statement CONSTANT text := pg_catalog.concat(
        pg_catalog.pg_trigger_depth(), '_', pg_catalog.left(pg_catalog.md5(facts ->> 'table'), 8)
    );
    was_dead boolean := false;
    dead boolean;
    at_changed boolean;
    flag boolean;
    old_flag boolean := false;
    old_id uuid;
    new_id uuid;
    new_by text;
    entry text;
    log_name text;
    fixed jsonb := pg_catalog.jsonb_build_object();
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE pg_catalog.format(
            'SELECT ($1).%1$I IS NOT NULL, ($1).%1$I IS NOT NULL,'
            ' ($1).%2$I::text, ($1).%3$I::uuid, %4$s',
            facts ->> 'deleted_at', facts ->> 'deleted_by', facts ->> 'deletion_id',
            coalesce('($1).' || flag_name, 'NULL::boolean')
        ) INTO dead, at_changed, new_by, new_id, flag USING NEW;
    ELSE
        EXECUTE pg_catalog.format(
            'SELECT ($1).%1$I IS NOT NULL, ($2).%1$I IS NOT NULL,'
            ' ($1).%1$I IS DISTINCT FROM ($2).%1$I,'
            ' ($1).%2$I::text, ($1).%3$I::uuid, ($2).%3$I::uuid, %4$s, %5$s',
            facts ->> 'deleted_at', facts ->> 'deleted_by', facts ->> 'deletion_id',
            coalesce('($1).' || flag_name, 'NULL::boolean'),
            coalesce('($2).' || flag_name, 'NULL::boolean')
        ) INTO dead, was_dead, at_changed, new_by, new_id, old_id, flag, old_flag USING NEW, OLD;
    END IF;

    -- The timestamp decides if it was written, else the flag; a NULL flag follows the timestamp.
    IF NOT at_changed AND flag <> dead AND flag IS DISTINCT FROM old_flag THEN
        dead := flag;
        fixed := pg_catalog.jsonb_build_object(
            facts ->> 'deleted_at', CASE WHEN dead THEN pg_catalog.now() END
        );
    END IF;
    IF flag_name IS NOT NULL THEN
        fixed := fixed || pg_catalog.jsonb_build_object(facts ->> 'flag', dead);
    END IF;

    IF NOT dead THEN
        fixed := fixed || pg_catalog.jsonb_build_object(
            facts ->> 'deleted_by', NULL, facts ->> 'deletion_id', NULL
        );
    ELSIF NOT was_dead THEN
        IF new_id IS NOT DISTINCT FROM old_id THEN
            -- Not given by this statement.  All rows that it updates are one deletion: cascade
            -- forgets the id at its end.  Rows inserted dead are deletions of their own.
            new_id := coalesce(
                nullif(pg_catalog.current_setting('pgultra.deletion_id', true), ''),
                nullif(
                    pg_catalog.current_setting('pgultra.soft_delete_id_' || statement, true), ''
                )
            )::uuid;
            IF new_id IS NULL THEN
                new_id := pg_catalog.gen_random_uuid();
                IF TG_OP = 'UPDATE' THEN
                    PERFORM pg_catalog.set_config(
                        'pgultra.soft_delete_id_' || statement, new_id::text, true
                    );
                END IF;
            END IF;
        END IF;
        fixed := fixed || pg_catalog.jsonb_build_object(
            facts ->> 'deleted_by', coalesce(
                new_by, nullif(pg_catalog.current_setting('pgultra.actor', true), '')
            ),
            facts ->> 'deletion_id', new_id
        );
    END IF;

    IF dead AND NOT was_dead AND TG_OP = 'UPDATE' AND (facts ->> 'cascade')::boolean THEN
        -- A row is updated under a lock that lets FOR KEY SHARE pass, and so whoever adds a child
        -- just now.  FOR UPDATE does not, and makes the coming update count as one of the key.
        EXECUTE pg_catalog.format(
            'SELECT FROM %I.%I AS own WHERE %s FOR UPDATE', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            (
                SELECT pg_catalog.string_agg(
                    pg_catalog.format('own.%1$I = ($1).%1$I', name), ' AND '
                )
                FROM pg_catalog.jsonb_array_elements_text(facts -> 'key') AS name
            )
        ) USING OLD;
        log_name := pg_catalog.concat('pgultra.soft_delete_deleted_', statement, '_');
        entry := pg_catalog.concat(new_id, ',');
    ELSIF was_dead AND NOT dead AND (facts ->> 'restore')::boolean THEN
        EXECUTE pg_catalog.format(
            'SELECT pg_catalog.concat(pg_catalog.json_build_array($2%s), '','')',
            (
                SELECT pg_catalog.string_agg(
                    pg_catalog.format(', ($1).%I::text', name), '' ORDER BY place
                )
                FROM pg_catalog.jsonb_array_elements_text(facts -> 'key')
                    WITH ORDINALITY AS k (name, place)
            )
        ) INTO entry USING NEW, old_id;
        log_name := pg_catalog.concat('pgultra.soft_delete_restored_', statement, '_');
    END IF;
    IF pg_catalog.right(
        pg_catalog.current_setting(log_name || '0', true), pg_catalog.length(entry)
    ) IS DISTINCT FROM entry THEN
        -- The log has stages, each larger than the one before, so that the cost of a long one does
        -- not grow with the square of its length.
        FOR stage IN 0 .. 3 LOOP
            entry := pg_catalog.concat(
                pg_catalog.current_setting(pg_catalog.concat(log_name, stage), true), entry
            );
            IF stage = 3 OR pg_catalog.length(entry) < (ARRAY[1000, 32000, 1000000])[stage + 1] THEN
                PERFORM pg_catalog.set_config(pg_catalog.concat(log_name, stage), entry, true);
                EXIT;
            END IF;
            PERFORM pg_catalog.set_config(pg_catalog.concat(log_name, stage), '', true);
        END LOOP;
    END IF;

    NEW := pg_catalog.jsonb_populate_record(NEW, fixed);
    RETURN NEW;
END
