-- Ends one statement: what it deleted takes the rows below along, as the same deletion.
--
-- Reads the ids that stamp logged row by row.  All locks are taken in one order, whoever comes:
-- tables from parents to children, rows by primary key.  FOR UPDATE keeps out whoever adds a child
-- meanwhile.
--
-- Trigger argument, as JSON:
--   tables  [{schema, name, key, deleted_at, deleted_by, deletion_id, flag}], the trigger's own
--           table first; a missing schema is that of the trigger's table.
--   below   [{cyclic, tables: [{table, edges: [{parent, on}]}]}]: groups of tables, parents first,
--           with the edges that lead into each; table and parent are places in tables, on is pairs
--           of columns.  A cyclic group is repeated until nothing changes.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    statement CONSTANT text := format(
        '%s_%s', pg_trigger_depth(), left(md5(facts #>> '{tables,0,name}'), 8)
    );
    log_name CONSTANT text := 'pgultra.soft_delete_deleted_' || statement;
    outer_cascade CONSTANT text :=
        coalesce(current_setting('pgultra.soft_delete_cascading', true), '');
    log text;
    ids uuid[];
    home text := TG_TABLE_SCHEMA::text;
    names text[];
    keys text[];
    step jsonb;
    target jsonb;
    edge jsonb;
    child jsonb;
    parent jsonb;
    here integer;
    above integer;
    counted bigint;
    changed bigint;
BEGIN
    log := concat(current_setting(log_name || '_full', true), current_setting(log_name, true));
    PERFORM set_config(name, '', true)
        FROM unnest(
            ARRAY['pgultra.soft_delete_id_' || statement, log_name, log_name || '_full']
        ) AS name
        WHERE current_setting(name, true) <> '';
    IF log = '' THEN
        RETURN NULL;
    END IF;
    ids := ARRAY(SELECT DISTINCT id::uuid FROM string_to_table(rtrim(log, ','), ',') AS id);

    IF facts ? 'home' THEN
        -- A table without a declared schema is where the foreign key of a neighbour leads.
        SELECT n.nspname::text INTO home
        FROM pg_constraint AS k
        JOIN pg_class AS other ON other.oid IN (k.conrelid, k.confrelid) AND other.relname = facts #>> '{home,to}'
        JOIN pg_namespace AS n ON n.oid = other.relnamespace
        WHERE k.contype = 'f' AND format('%I.%I', facts #>> '{home,from,0}', facts #>> '{home,from,1}')::regclass
            IN (k.conrelid, k.confrelid)
        LIMIT 1;
        IF home IS NULL THEN
            RAISE EXCEPTION 'cannot tell the schema of table %: no foreign key joins it to table %.%',
                facts #>> '{home,to}', facts #>> '{home,from,0}', facts #>> '{home,from,1}'
                USING HINT = 'Declare its schema in the model.';
        END IF;
    END IF;
    SELECT
        array_agg(
            format('%I.%I', coalesce(entry ->> 'schema', home), entry ->> 'name') ORDER BY place
        ),
        array_agg(
            (
                SELECT string_agg(format('c.%I', name), ', ' ORDER BY number)
                FROM jsonb_array_elements_text(entry -> 'key') WITH ORDINALITY AS k (name, number)
            ) ORDER BY place
        )
    INTO names, keys
    FROM jsonb_array_elements(facts -> 'tables') WITH ORDINALITY AS list (entry, place);

    PERFORM set_config('pgultra.soft_delete_cascading', pg_trigger_depth()::text, true);
    FOR step IN SELECT jsonb_array_elements(facts -> 'below') LOOP
        LOOP
            changed := 0;
            FOR target IN SELECT jsonb_array_elements(step -> 'tables') LOOP
                here := (target ->> 'table')::integer + 1;
                child := facts -> 'tables' -> (here - 1);
                EXECUTE format(
                    'SELECT FROM %s AS c WHERE c.%I IS NULL AND (%s) IN (%s)'
                    ' ORDER BY %3$s FOR UPDATE',
                    names[here], child ->> 'deleted_at', keys[here],
                    (
                        SELECT string_agg(
                            format(
                                'SELECT %s FROM %s AS c JOIN %s AS p ON %s'
                                ' WHERE p.%I = ANY ($1) AND p.%I IS NOT NULL AND c.%I IS NULL',
                                keys[here], names[here], names[(e ->> 'parent')::integer + 1],
                                (
                                    SELECT string_agg(
                                        format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND '
                                    )
                                    FROM jsonb_array_elements(e -> 'on') AS pair
                                ),
                                facts #>> ARRAY['tables', e ->> 'parent', 'deletion_id'],
                                facts #>> ARRAY['tables', e ->> 'parent', 'deleted_at'],
                                child ->> 'deleted_at'
                            ), ' UNION ALL '
                        )
                        FROM jsonb_array_elements(target -> 'edges') AS e
                    )
                ) USING ids;
                GET DIAGNOSTICS counted = ROW_COUNT;
                CONTINUE WHEN counted = 0;

                FOR edge IN SELECT jsonb_array_elements(target -> 'edges') LOOP
                    above := (edge ->> 'parent')::integer + 1;
                    parent := facts -> 'tables' -> (above - 1);
                    -- Counts what is dead afterwards: a host's trigger may keep a row alive.
                    EXECUTE format(
                        'WITH taken AS ('
                        'UPDATE %s AS c SET %I = p.%I, %I = p.%I, %I = p.%I%s FROM %s AS p'
                        ' WHERE p.%7$I = ANY ($1) AND p.%3$I IS NOT NULL AND c.%2$I IS NULL'
                        ' AND %10$s RETURNING c.%2$I AS since'
                        ') SELECT count(since) FROM taken',
                        names[here], child ->> 'deleted_at', parent ->> 'deleted_at',
                        child ->> 'deleted_by', parent ->> 'deleted_by',
                        child ->> 'deletion_id', parent ->> 'deletion_id',
                        coalesce(', ' || quote_ident(child ->> 'flag') || ' = true', ''),
                        names[above],
                        (SELECT string_agg(format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND ')
                            FROM jsonb_array_elements(edge -> 'on') AS pair)
                    ) INTO counted USING ids;
                    changed := changed + counted;
                END LOOP;
            END LOOP;
            EXIT WHEN changed = 0 OR NOT (step ->> 'cyclic')::boolean;
        END LOOP;
    END LOOP;
    PERFORM set_config('pgultra.soft_delete_cascading', outer_cascade, true);
    RETURN NULL;
END
