-- Ends one statement: what it deleted takes the rows below along, as the same deletion.
--
-- Reads the ids that stamp logged row by row.  All locks are taken in one order, whoever comes:
-- tables from parents to children, rows by primary key.  FOR UPDATE keeps out whoever adds a child
-- meanwhile, or restores one: so no row is updated before it is locked.
--
-- Trigger argument, as JSON:
--   tables  [{schema, name, key, deleted_at, deleted_by, deletion_id, flag}], the trigger's own
--           table first; a missing schema is that of the trigger's table.
--   below   [{cyclic, tables: [{table, edges: [{parent, on}]}]}]: groups of tables, parents first,
--           with the edges that lead into each; table and parent are places in tables, on is pairs
--           of columns.  A cyclic group is repeated until nothing changes.
--
-- The search_path is the caller's, which the host's own triggers on these tables expect, so every
-- function is named with its schema.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    statement CONSTANT text := pg_catalog.concat(
        pg_catalog.pg_trigger_depth(), '_',
        pg_catalog.left(pg_catalog.md5(pg_catalog.concat_ws(
            '.', facts #>> '{tables,0,schema}', facts #>> '{tables,0,name}'
        )), 8)
    );
    log_name CONSTANT text := pg_catalog.concat('pgultra.soft_delete_deleted_', statement, '_');
    outer_cascade CONSTANT text := coalesce(
        pg_catalog.current_setting('pgultra.soft_delete_cascading', true), ''
    );
    log text;
    ids uuid[];
    homes text[] := ARRAY[TG_TABLE_SCHEMA::text];
    home text;
    names text[];
    keys text[];
    step jsonb;
    target jsonb;
    edge jsonb;
    child jsonb;
    parent jsonb;
    here integer;
    above integer;
    hold text;
    counted bigint;
    changed bigint;
    -- What the last round of a cyclic group took: per table an array of places, as text.
    places text;
    fresh text[];
    latest text[];
    everything boolean;
BEGIN
    SELECT pg_catalog.string_agg(
        pg_catalog.current_setting(pg_catalog.concat(log_name, stage), true), ''
    ) INTO log FROM pg_catalog.generate_series(0, 3) AS stage;
    PERFORM pg_catalog.set_config(name, '', true)
        FROM (
            SELECT 'pgultra.soft_delete_id_' || statement
            UNION ALL
            SELECT pg_catalog.concat(log_name, stage)
            FROM pg_catalog.generate_series(0, 3) AS stage
        ) AS kept (name)
        WHERE pg_catalog.current_setting(name, true) <> '';
    IF coalesce(log, '') = '' THEN
        RETURN NULL;
    END IF;
    ids := ARRAY(
        SELECT DISTINCT id::uuid
        FROM pg_catalog.string_to_table(pg_catalog.rtrim(log, ','), ',') AS id
    );

    -- include home.sql
    PERFORM pg_catalog.set_config(
        'pgultra.soft_delete_cascading', pg_catalog.pg_trigger_depth()::text, true
    );
    FOREACH home IN ARRAY homes LOOP
        SELECT
            pg_catalog.array_agg(
                pg_catalog.format('%I.%I', coalesce(entry ->> 'schema', home), entry ->> 'name')
                ORDER BY place
            ),
            pg_catalog.array_agg(
                (
                    SELECT pg_catalog.string_agg(
                        pg_catalog.format('c.%I', name), ', ' ORDER BY number
                    )
                    FROM pg_catalog.jsonb_array_elements_text(entry -> 'key')
                        WITH ORDINALITY AS k (name, number)
                ) ORDER BY place
            )
        INTO names, keys
        FROM pg_catalog.jsonb_array_elements(facts -> 'tables')
            WITH ORDINALITY AS list (entry, place);

        FOR step IN SELECT pg_catalog.jsonb_array_elements(facts -> 'below') LOOP
            everything := true;
            LOOP
                changed := 0;
                latest := pg_catalog.array_fill(NULL::text, ARRAY[pg_catalog.cardinality(names)]);
                FOR target IN SELECT pg_catalog.jsonb_array_elements(step -> 'tables') LOOP
                    here := (target ->> 'table')::integer + 1;
                    child := facts -> 'tables' -> (here - 1);
                    hold := pg_catalog.format(
                        'SELECT FROM %s AS c WHERE c.%I IS NULL AND (%s) IN (%s)'
                        ' ORDER BY %3$s FOR UPDATE',
                        names[here], child ->> 'deleted_at', keys[here],
                        (
                            SELECT pg_catalog.string_agg(
                                pg_catalog.format(
                                    'SELECT %s FROM %s AS c JOIN %s AS p ON %s'
                                    ' WHERE (p.%I = ANY ($1))%s AND p.%I IS NOT NULL AND c.%I IS NULL',
                                    keys[here], names[here], names[(e ->> 'parent')::integer + 1],
                                    (
                                        SELECT pg_catalog.string_agg(
                                            pg_catalog.format('p.%I = c.%I', pair ->> 0, pair ->> 1),
                                            ' AND '
                                        )
                                        FROM pg_catalog.jsonb_array_elements(e -> 'on') AS pair
                                    ),
                                    facts #>> ARRAY['tables', e ->> 'parent', 'deletion_id'],
                                    CASE WHEN NOT everything THEN pg_catalog.format(
                                        ' IS TRUE AND p.ctid IN'
                                        ' (SELECT pg_catalog.unnest(($2)[%s]::tid[]))',
                                        (e ->> 'parent')::integer + 1
                                    ) END,
                                    facts #>> ARRAY['tables', e ->> 'parent', 'deleted_at'],
                                    child ->> 'deleted_at'
                                ), ' UNION ALL '
                            )
                            FROM pg_catalog.jsonb_array_elements(target -> 'edges') AS e
                        )
                    );
                    EXECUTE hold USING ids, fresh;
                    GET DIAGNOSTICS counted = ROW_COUNT;
                    CONTINUE WHEN counted = 0;

                    FOR edge IN SELECT pg_catalog.jsonb_array_elements(target -> 'edges') LOOP
                        above := (edge ->> 'parent')::integer + 1;
                        parent := facts -> 'tables' -> (above - 1);
                        IF everything AND changed > 0 AND (step ->> 'cyclic')::boolean THEN
                            -- What was taken a moment before has rows below it in this very table.
                            EXECUTE hold USING ids, fresh;
                        END IF;
                        -- Counts what is dead afterwards: a host's trigger may keep a row alive.
                        EXECUTE pg_catalog.format(
                            'WITH taken AS ('
                            'UPDATE %s AS c SET %I = p.%I, %I = p.%I, %I = p.%I%s FROM %s AS p'
                            ' WHERE (p.%7$I = ANY ($1))%11$s AND p.%3$I IS NOT NULL'
                            ' AND c.%2$I IS NULL AND %10$s'
                            ' RETURNING c.%2$I AS since, c.ctid AS place'
                            ') SELECT pg_catalog.count(since), pg_catalog.array_agg(place)::text'
                            ' FROM taken',
                            names[here], child ->> 'deleted_at', parent ->> 'deleted_at',
                            child ->> 'deleted_by', parent ->> 'deleted_by',
                            child ->> 'deletion_id', parent ->> 'deletion_id',
                            ', ' || pg_catalog.quote_ident(child ->> 'flag') || ' = true',
                            names[above],
                            (
                                SELECT pg_catalog.string_agg(
                                    pg_catalog.format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND '
                                )
                                FROM pg_catalog.jsonb_array_elements(edge -> 'on') AS pair
                            ),
                            CASE WHEN NOT everything THEN pg_catalog.format(
                                ' IS TRUE AND p.ctid IN (SELECT pg_catalog.unnest(($2)[%s]::tid[]))',
                                above
                            ) END
                        ) INTO counted, places USING ids, fresh;
                        changed := changed + counted;
                        latest[here] := pg_catalog.array_cat(
                            latest[here]::text[], places::text[]
                        )::text;
                    END LOOP;
                END LOOP;
                EXIT WHEN NOT (step ->> 'cyclic')::boolean OR changed = 0 AND everything;
                -- Follow what this round took.  In the end look at everything once more, for a trigger
                -- of the host may have moved a row away from its place.
                everything := changed = 0;
                fresh := latest;
            END LOOP;
        END LOOP;
    END LOOP;
    PERFORM pg_catalog.set_config('pgultra.soft_delete_cascading', outer_cascade, true);
    RETURN NULL;
END
