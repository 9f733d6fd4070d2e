-- Completes the columns of one row that is deleted or restored, and tells cascade and restore.
--
-- The columns stand here under their usual names; a table with other names has a function of its own.
--
-- Trigger argument, as JSON:
--   table    a name for the log
--   key      the primary key
--   cascade  rows hang below this table: deleting locks, and is logged for cascade
--   restore  rows hang above or below: restoring is logged for restore
--
-- The search_path is the caller's, so every function is named with its schema.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    statement CONSTANT text := pg_catalog.concat(
        pg_catalog.pg_trigger_depth(), '_', pg_catalog.left(pg_catalog.md5(facts ->> 'table'), 8)
    );
    chosen uuid;
    log_name text;
    entry text;
    styles text[];
BEGIN
    IF NEW.deleted_at IS NULL THEN
        NEW.deleted_by := NULL;
        NEW.deletion_id := NULL;
    ELSIF OLD.deleted_at IS NULL THEN
        IF NEW.deleted_by IS NULL THEN
            NEW.deleted_by := nullif(pg_catalog.current_setting('pgultra.actor', true), '');
        END IF;
        IF NEW.deletion_id IS NOT DISTINCT FROM OLD.deletion_id THEN
            -- Not given by this statement.  All rows that it updates are one deletion: cascade
            -- forgets the id at its end.  Rows inserted dead are deletions of their own.
            chosen := coalesce(
                nullif(pg_catalog.current_setting('pgultra.deletion_id', true), ''),
                nullif(
                    pg_catalog.current_setting('pgultra.soft_delete_id_' || statement, true), ''
                )
            )::uuid;
            IF chosen IS NULL THEN
                chosen := pg_catalog.gen_random_uuid();
                IF TG_OP = 'UPDATE' THEN
                    PERFORM pg_catalog.set_config(
                        'pgultra.soft_delete_id_' || statement, chosen::text, true
                    );
                END IF;
            END IF;
            NEW.deletion_id := chosen;
        END IF;
    END IF;
    IF TG_OP = 'INSERT' OR (NEW.deleted_at IS NULL) = (OLD.deleted_at IS NULL) THEN
        RETURN NEW;
    END IF;

    IF NEW.deleted_at IS NOT NULL AND (facts ->> 'cascade')::boolean THEN
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
        entry := pg_catalog.concat(NEW.deletion_id, ',');
    ELSIF NEW.deleted_at IS NULL AND (facts ->> 'restore')::boolean THEN
    -- include plain.sql
        EXECUTE pg_catalog.format(
            'SELECT pg_catalog.concat(pg_catalog.json_build_array($2%s), '','')',
            (
                SELECT pg_catalog.string_agg(
                    pg_catalog.format(', ($1).%I::text', name), '' ORDER BY place
                )
                FROM pg_catalog.jsonb_array_elements_text(facts -> 'key')
                    WITH ORDINALITY AS k (name, place)
            )
        ) INTO entry USING NEW, OLD.deletion_id;
    -- include styled.sql
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
    RETURN NEW;
END
