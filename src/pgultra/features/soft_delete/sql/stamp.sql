-- Keeps the soft-delete columns of one row true: since when, by whom, in which deletion, and the flag.
--
-- Trigger argument, as JSON: deleted_at, deleted_by, deletion_id, flag (names of columns; flag may be missing),
-- key (the primary key), table (a name for the log), cascade (rows hang below this table: deleting locks, and is
-- logged for the cascade), restore (rows hang above or below: restoring is logged for the check).
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    flag_name CONSTANT text := facts ->> 'flag';
    statement CONSTANT text := format('%s_%s', pg_trigger_depth(), left(md5(facts ->> 'table'), 8));
    was_dead boolean := false;
    dead boolean;
    at_changed boolean;
    flag boolean;
    old_flag boolean;
    old_id uuid;
    new_id uuid;
    new_by text;
    entry text;
    log_name text;
    log text;
    fixed jsonb := jsonb_build_object();
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE format(
            'SELECT ($1).%I IS NOT NULL, ($1).%I::text, ($1).%I::uuid, %s',
            facts ->> 'deleted_at', facts ->> 'deleted_by', facts ->> 'deletion_id',
            coalesce('($1).' || quote_ident(flag_name), 'NULL::boolean')
        ) INTO dead, new_by, new_id, flag USING NEW;
        at_changed := dead;
        old_flag := false;
    ELSE
        EXECUTE format(
            'SELECT ($1).%1$I IS NOT NULL, ($2).%1$I IS NOT NULL, ($1).%1$I IS DISTINCT FROM ($2).%1$I, '
            '($1).%2$I::text, ($1).%3$I::uuid, ($2).%3$I::uuid, %4$s, %5$s',
            facts ->> 'deleted_at', facts ->> 'deleted_by', facts ->> 'deletion_id',
            coalesce('($1).' || quote_ident(flag_name), 'NULL::boolean'),
            coalesce('($2).' || quote_ident(flag_name), 'NULL::boolean')
        ) INTO dead, was_dead, at_changed, new_by, new_id, old_id, flag, old_flag USING NEW, OLD;
    END IF;

    -- The timestamp decides if it was written, else the flag; a NULL flag follows the timestamp.
    IF NOT at_changed AND flag <> dead AND flag IS DISTINCT FROM old_flag THEN
        dead := flag;
        fixed := jsonb_build_object(facts ->> 'deleted_at', CASE WHEN dead THEN now() END);
    END IF;
    IF flag_name IS NOT NULL THEN
        fixed := fixed || jsonb_build_object(flag_name, dead);
    END IF;

    IF NOT dead THEN
        fixed := fixed || jsonb_build_object(facts ->> 'deleted_by', NULL, facts ->> 'deletion_id', NULL);
    ELSIF NOT was_dead THEN
        IF new_id IS NOT DISTINCT FROM old_id THEN
            -- Not given by this statement; all its rows are one deletion, and cascade forgets the id at its end.
            new_id := coalesce(
                nullif(current_setting('pgultra.deletion_id', true), ''),
                nullif(current_setting('pgultra.soft_delete_id_' || statement, true), '')
            )::uuid;
            IF new_id IS NULL THEN
                new_id := gen_random_uuid();
                IF TG_OP = 'UPDATE' THEN
                    PERFORM set_config('pgultra.soft_delete_id_' || statement, new_id::text, true);
                END IF;
            END IF;
        END IF;
        fixed := fixed || jsonb_build_object(
            facts ->> 'deleted_by', coalesce(new_by, nullif(current_setting('pgultra.actor', true), '')),
            facts ->> 'deletion_id', new_id
        );
    END IF;

    IF dead AND NOT was_dead AND TG_OP = 'UPDATE' AND (facts ->> 'cascade')::boolean THEN
        -- FOR UPDATE makes the coming UPDATE conflict with the FOR KEY SHARE of whoever adds a child just now.
        EXECUTE format(
            'SELECT FROM %I.%I AS own WHERE %s FOR UPDATE', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            (SELECT string_agg(format('own.%1$I = ($1).%1$I', name), ' AND ')
                FROM jsonb_array_elements_text(facts -> 'key') AS name)
        ) USING OLD;
        log_name := 'pgultra.soft_delete_deleted_' || statement;
        entry := new_id::text || ',';
    ELSIF was_dead AND NOT dead AND (facts ->> 'restore')::boolean THEN
        EXECUTE format(
            'SELECT json_build_array($2%s)::text',
            (SELECT string_agg(format(', ($1).%I::text', name), '' ORDER BY place)
                FROM jsonb_array_elements_text(facts -> 'key') WITH ORDINALITY AS column_name (name, place))
        ) INTO entry USING NEW, old_id;
        log_name := 'pgultra.soft_delete_restored_' || statement;
        entry := entry || ',';
    END IF;
    IF entry IS NOT NULL THEN
        log := coalesce(current_setting(log_name, true), '');
        IF right(log, length(entry)) <> entry THEN
            IF length(log) > 4000 THEN
                -- Two stages, so that the cost of a long log does not grow with the square of its length.
                PERFORM set_config(
                    log_name || '_full', coalesce(current_setting(log_name || '_full', true), '') || log, true
                );
                log := '';
            END IF;
            PERFORM set_config(log_name, log || entry, true);
        END IF;
    END IF;
    NEW := jsonb_populate_record(NEW, fixed);
    RETURN NEW;
END
