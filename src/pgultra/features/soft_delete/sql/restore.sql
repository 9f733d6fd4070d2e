-- Ends one statement: what it restored brings back the rows below that went with it, and may not
-- stand below the dead.
--
-- Reads the ids and keys that stamp logged row by row, collects the rows below them that the same
-- deletions took, and revives those whose parents are all live then.  All locks are taken in one
-- order, whoever comes: tables from parents to children, rows by primary key.  FOR KEY SHARE keeps
-- a parent from being deleted meanwhile.
--
-- Trigger argument, as JSON:
--   tables   [{schema, name, key, deleted_at, deleted_by, deletion_id, flag}], the trigger's own
--            table first; a missing schema is that of the trigger's table.
--   below    [{cyclic, tables: [{table, edges: [{parent, on}]}]}]: groups of tables, parents first,
--            with the edges that lead into each; table and parent are places in tables, on is pairs
--            of columns.
--   locks    [{table, below, edges: [{child, on}]}]: all tables in the order of locks; whether each is
--            below, and the edges of which it is the parent.
--
-- The search_path is the caller's, which the host's own triggers on these tables expect, so every
-- function is named with its schema.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    log_name CONSTANT text := pg_catalog.concat(
        'pgultra.soft_delete_restored_', pg_catalog.pg_trigger_depth(), '_',
        pg_catalog.left(pg_catalog.md5(pg_catalog.concat_ws(
            '.', facts #>> '{tables,0,schema}', facts #>> '{tables,0,name}'
        )), 8), '_'
    );
    outer_cascade CONSTANT text := coalesce(
        pg_catalog.current_setting('pgultra.soft_delete_cascading', true), ''
    );
    log jsonb;
    ids uuid[];
    styles text[];
    homes text[] := ARRAY[TG_TABLE_SCHEMA::text];
    home text;
    -- Fragments of SQL, per table.  In all statements $1 is whole, $2 is ids, $3 is fresh.
    names text[];
    child_keys text[];
    parent_keys text[];
    row_keys text[];
    row_names text[];
    whole_rows text[];
    fresh_rows text[];
    gathers text[];
    -- The rows to revive: a line per table, a column per key column, each an array as text.
    whole text[];
    fresh text[];
    latest text[];
    gathered text[];
    step jsonb;
    target jsonb;
    edge jsonb;
    child jsonb;
    parent jsonb;
    here integer;
    above integer;
    conflicts text;
    counted bigint;
    -- What is to be executed in the end, and its $1 as text: all is looked at before.
    revivals text[] := ARRAY[]::text[];
    revived text[] := ARRAY[]::text[];
    changed boolean;
    together boolean;
    waits boolean;
    child_label text;
    parent_label text;
BEGIN
    SELECT pg_catalog.format(
        '[%s]', pg_catalog.rtrim(
            pg_catalog.string_agg(
                pg_catalog.current_setting(pg_catalog.concat(log_name, stage), true), ''
            ), ','
        )
    )::jsonb INTO log FROM pg_catalog.generate_series(0, 3) AS stage;
    PERFORM pg_catalog.set_config(pg_catalog.concat(log_name, stage), '', true)
        FROM pg_catalog.generate_series(0, 3) AS stage
        WHERE pg_catalog.current_setting(pg_catalog.concat(log_name, stage), true) <> '';
    IF pg_catalog.jsonb_array_length(log) = 0 THEN
        RETURN NULL;
    END IF;

    -- include plain.sql
    -- include home.sql
    FOREACH home IN ARRAY homes LOOP
        SELECT
            pg_catalog.array_agg(table_name ORDER BY place),
            pg_catalog.array_agg(child_key ORDER BY place),
            pg_catalog.array_agg(parent_key ORDER BY place),
            pg_catalog.array_agg(row_key ORDER BY place),
            pg_catalog.array_agg(row_name ORDER BY place),
            pg_catalog.array_agg(
                pg_catalog.concat('ROWS FROM (', in_whole, ') AS ', row_name) ORDER BY place
            ),
            pg_catalog.array_agg(
                pg_catalog.concat('ROWS FROM (', in_fresh, ') AS ', row_name) ORDER BY place
            ),
            pg_catalog.array_agg(
                pg_catalog.format('pg_catalog.count(*), ARRAY[%s]', gather) ORDER BY place
            ),
            pg_catalog.array_fill(
                NULL::text, ARRAY[pg_catalog.count(*), pg_catalog.max(width)]::integer[]
            )
        INTO names, child_keys, parent_keys, row_keys, row_names, whole_rows, fresh_rows, gathers, whole
        FROM (
            SELECT
                place, table_name, pg_catalog.count(*) AS width,
                pg_catalog.string_agg(column_c, ', ' ORDER BY number) AS child_key,
                pg_catalog.string_agg(column_p, ', ' ORDER BY number) AS parent_key,
                pg_catalog.string_agg('r.' || k, ', ' ORDER BY number) AS row_key,
                pg_catalog.format('r (%s)', pg_catalog.string_agg(k, ', ' ORDER BY number)) AS row_name,
                pg_catalog.string_agg(
                    pg_catalog.format('pg_catalog.array_agg(r.%s::text)::text', k),
                    ', ' ORDER BY number
                ) AS gather,
                pg_catalog.string_agg(
                    pg_catalog.format('pg_catalog.unnest(($1)[%s][%s]::%s[])', place, number, type),
                    ', ' ORDER BY number
                ) AS in_whole,
                pg_catalog.string_agg(
                    pg_catalog.format('pg_catalog.unnest(($3)[%s][%s]::%s[])', place, number, type),
                    ', ' ORDER BY number
                ) AS in_fresh
            FROM (
                SELECT
                    place, number, pg_catalog.concat('k', number) AS k, table_name,
                    pg_catalog.format('c.%I', a.attname) AS column_c,
                    pg_catalog.format('p.%I', a.attname) AS column_p,
                    pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
                FROM pg_catalog.jsonb_array_elements(facts -> 'tables')
                    WITH ORDINALITY AS list (entry, place)
                CROSS JOIN LATERAL pg_catalog.format(
                    '%I.%I', coalesce(entry ->> 'schema', home), entry ->> 'name'
                ) AS table_name
                CROSS JOIN LATERAL pg_catalog.jsonb_array_elements_text(entry -> 'key')
                    WITH ORDINALITY AS key (column_name, number)
                JOIN pg_catalog.pg_attribute AS a
                    ON a.attrelid = table_name::regclass AND a.attname = column_name
            ) AS columns
            GROUP BY place, table_name
        ) AS tables;
        FOR k IN 1 .. pg_catalog.jsonb_array_length(log -> 0) - 1 LOOP
            whole[1][k] := (
                SELECT pg_catalog.array_agg(entry ->> k)::text
                FROM pg_catalog.jsonb_array_elements(log) AS entry
            );
        END LOOP;
        ids := ARRAY(
            SELECT DISTINCT (entry ->> 0)::uuid
            FROM pg_catalog.jsonb_array_elements(log) AS entry WHERE entry ->> 0 IS NOT NULL
        );

        -- Collect downwards; a round in a cyclic group follows what the round before has found.
        FOR step IN SELECT pg_catalog.jsonb_array_elements(facts -> 'below') LOOP
            fresh := whole;
            LOOP
                changed := false;
                latest := pg_catalog.array_fill(
                    NULL::text,
                    ARRAY[pg_catalog.array_length(whole, 1), pg_catalog.array_length(whole, 2)]
                );
                FOR target, edge IN
                    SELECT t, e
                    FROM pg_catalog.jsonb_array_elements(step -> 'tables') AS t,
                        pg_catalog.jsonb_array_elements(t -> 'edges') AS e
                LOOP
                    here := (target ->> 'table')::integer + 1;
                    above := (edge ->> 'parent')::integer + 1;
                    child := facts -> 'tables' -> (here - 1);
                    EXECUTE pg_catalog.format(
                        'SELECT %s FROM ('
                        'SELECT DISTINCT %s FROM %s JOIN %s AS p ON (%s) = (%s) JOIN %s AS c ON %s'
                        ' WHERE c.%I = ANY ($2) AND c.%I IS NOT NULL'
                        ' AND NOT EXISTS (SELECT FROM %s WHERE (%s) = (%s))) AS %s',
                        gathers[here], child_keys[here], fresh_rows[above], names[above],
                        parent_keys[above], row_keys[above], names[here],
                        (
                            SELECT pg_catalog.string_agg(
                                pg_catalog.format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND '
                            )
                            FROM pg_catalog.jsonb_array_elements(edge -> 'on') AS pair
                        ),
                        child ->> 'deletion_id', child ->> 'deleted_at',
                        whole_rows[here], child_keys[here], row_keys[here], row_names[here]
                    ) INTO counted, gathered USING whole, ids, fresh;
                    CONTINUE WHEN counted = 0;
                    changed := true;
                    FOR k IN 1 .. pg_catalog.cardinality(gathered) LOOP
                        whole[here][k] := pg_catalog.array_cat(
                            whole[here][k]::text[], gathered[k]::text[]
                        )::text;
                        latest[here][k] := pg_catalog.array_cat(
                            latest[here][k]::text[], gathered[k]::text[]
                        )::text;
                    END LOOP;
                END LOOP;
                EXIT WHEN NOT changed OR NOT (step ->> 'cyclic')::boolean;
                fresh := latest;
            END LOOP;
        END LOOP;

        -- Lock the parents of all these rows, and the rows.  Then the parents again: while a row
        -- was waited for, it may have got another parent, which it keeps from here on.
        FOR turn IN 1 .. 2 LOOP
            FOR step IN SELECT pg_catalog.jsonb_array_elements(facts -> 'locks') LOOP
                here := (step ->> 'table')::integer + 1;
                IF step -> 'edges' <> '[]' THEN
                    EXECUTE pg_catalog.format(
                        'SELECT FROM %s AS p WHERE (%s) IN (%s) ORDER BY %2$s FOR KEY SHARE',
                        names[here], parent_keys[here],
                        (
                            SELECT pg_catalog.string_agg(
                                pg_catalog.format(
                                    'SELECT %s FROM %s JOIN %s AS c ON (%s) = (%s) JOIN %s AS p ON %s',
                                    parent_keys[here], whole_rows[n], names[n], child_keys[n], row_keys[n],
                                    names[here],
                                    (
                                        SELECT pg_catalog.string_agg(
                                            pg_catalog.format('p.%I = c.%I', pair ->> 0, pair ->> 1),
                                            ' AND '
                                        )
                                        FROM pg_catalog.jsonb_array_elements(e -> 'on') AS pair
                                    )
                                ), ' UNION ALL '
                            )
                            FROM pg_catalog.jsonb_array_elements(step -> 'edges') AS e,
                                LATERAL (SELECT (e ->> 'child')::integer + 1) AS place (n)
                        )
                    ) USING whole;
                END IF;
                IF turn = 1 AND (step ->> 'below')::boolean THEN
                    EXECUTE pg_catalog.format(
                        'SELECT FROM %s AS c WHERE (%s) IN (SELECT * FROM %s) AND c.%I = ANY ($2)'
                        ' ORDER BY %2$s FOR NO KEY UPDATE',
                        names[here], child_keys[here], whole_rows[here],
                        facts #>> ARRAY['tables', step ->> 'table', 'deletion_id']
                    ) USING whole, ids;
                END IF;
            END LOOP;
        END LOOP;

        -- No row comes back below a parent that stays dead.  A parent that died apart is an error, and
        -- so is any above a row that was restored itself.  One of the same deletion that is not itself
        -- coming back keeps its other children dead, and theirs: until no more is struck off.
        LOOP
            changed := false;
            FOR step, edge IN
                SELECT s, e
                FROM pg_catalog.jsonb_array_elements(facts -> 'locks') AS s,
                    pg_catalog.jsonb_array_elements(s -> 'edges') AS e
            LOOP
                above := (step ->> 'table')::integer + 1;
                here := (edge ->> 'child')::integer + 1;
                parent := facts -> 'tables' -> (above - 1);
                child := facts -> 'tables' -> (here - 1);
                conflicts := pg_catalog.format(
                    '%s AS c JOIN %s AS p ON %s WHERE p.%I IS NOT NULL'
                    ' AND NOT (p.%I IS NOT NULL AND p.%5$I = ANY ($2)'
                    ' AND EXISTS (SELECT FROM %s WHERE (%s) = (%s)))'
                    ' AND (c.%I IS NULL OR c.%I = ANY ($2))',
                    names[here], names[above],
                    (
                        SELECT pg_catalog.string_agg(
                            pg_catalog.format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND '
                        )
                        FROM pg_catalog.jsonb_array_elements(edge -> 'on') AS pair
                    ),
                    parent ->> 'deleted_at', parent ->> 'deletion_id',
                    whole_rows[above], parent_keys[above], row_keys[above],
                    child ->> 'deleted_at', child ->> 'deletion_id'
                );
                EXECUTE pg_catalog.format(
                    'SELECT together, together AND dead, parent_label, child_label FROM ('
                    'SELECT coalesce(p.%I = ANY ($2), false), c.%I IS NOT NULL,'
                    ' pg_catalog.concat_ws('', '', %s), pg_catalog.concat_ws('', '', %s)'
                    ' FROM %s AND (%4$s) IN (SELECT * FROM %6$s)'
                    ') AS found (together, dead, parent_label, child_label) ORDER BY 2, 4 LIMIT 1',
                    parent ->> 'deletion_id', child ->> 'deleted_at',
                    parent_keys[above], child_keys[here], conflicts, whole_rows[here]
                ) INTO together, waits, parent_label, child_label USING whole, ids;
                CONTINUE WHEN together IS NULL;
                IF NOT waits THEN
                    RAISE EXCEPTION
                        'row (%) of table % cannot be restored: row (%) of table % above it is deleted',
                        child_label, names[here], parent_label, names[above]
                        USING ERRCODE = 'foreign_key_violation',
                        SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                        DETAIL = CASE
                            WHEN together THEN 'Both went with the same deletion.'
                            ELSE 'It was deleted apart from the row below it.'
                        END,
                        HINT = pg_catalog.format(
                            'Restore that row of %s first: what went with it comes back with it.',
                            names[above]
                        );
                END IF;
                EXECUTE pg_catalog.format(
                    'SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s AND (%s) = (%s))',
                    gathers[here], whole_rows[here], conflicts, child_keys[here], row_keys[here]
                ) INTO counted, gathered USING whole, ids;
                FOR k IN 1 .. pg_catalog.cardinality(gathered) LOOP
                    whole[here][k] := gathered[k];
                END LOOP;
                changed := true;
            END LOOP;
            EXIT WHEN NOT changed;
        END LOOP;

        FOR target IN
            SELECT t
            FROM pg_catalog.jsonb_array_elements(facts -> 'below') AS s,
                pg_catalog.jsonb_array_elements(s -> 'tables') AS t
        LOOP
            here := (target ->> 'table')::integer + 1;
            child := facts -> 'tables' -> (here - 1);
            revivals := revivals || pg_catalog.format(
                'UPDATE %s AS c SET %I = NULL, %I = NULL, %I = NULL%s'
                ' WHERE (%s) IN (SELECT * FROM %s) AND c.%2$I IS NOT NULL AND c.%4$I = ANY ($2)',
                names[here], child ->> 'deleted_at', child ->> 'deleted_by',
                child ->> 'deletion_id',
                ', ' || pg_catalog.quote_ident(child ->> 'flag') || ' = false',
                child_keys[here], whole_rows[here]
            );
            revived := revived || whole::text;
        END LOOP;
    END LOOP;

    -- include styled.sql
    PERFORM pg_catalog.set_config(
        'pgultra.soft_delete_cascading', pg_catalog.pg_trigger_depth()::text, true
    );
    FOR n IN 1 .. pg_catalog.cardinality(revivals) LOOP
        EXECUTE revivals[n] USING revived[n]::text[], ids;
    END LOOP;
    PERFORM pg_catalog.set_config('pgultra.soft_delete_cascading', outer_cascade, true);
    RETURN NULL;
END
