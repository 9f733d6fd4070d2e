-- Ends one statement: what it restored brings back the rows below that went with it, and may not stand below the dead.
--
-- Reads the ids and keys that stamp logged row by row, collects the rows below them that the same deletions took, and
-- revives those whose parents are all live then.  All locks are taken in one order, whoever comes: tables from parents
-- to children, rows by primary key.  FOR KEY SHARE keeps a parent from being deleted meanwhile.
--
-- Trigger argument, as JSON:
--   tables   [{schema, name, key, deleted_at, deleted_by, deletion_id, flag}], the trigger's own table first;
--            a missing schema is that of the trigger's table.
--   below    [{cyclic, tables: [{table, edges: [{parent, on}]}]}]: groups of tables, parents first, with the edges
--            that lead into each; table and parent are places in tables, on is pairs of columns.
--   parents  [{table, edges: [{child, on}]}]: the parents of this table and of those below, in the order of locks.
DECLARE
    facts CONSTANT jsonb := TG_ARGV[0]::jsonb;
    statement CONSTANT text := format('%s_%s', pg_trigger_depth(), left(md5(facts #>> '{tables,0,name}'), 8));
    log_name CONSTANT text := 'pgultra.soft_delete_restored_' || statement;
    outer_cascade CONSTANT text := coalesce(current_setting('pgultra.soft_delete_cascading', true), '');
    log jsonb;
    ids uuid[];
    home text := TG_TABLE_SCHEMA::text;
    -- Fragments of SQL, one element per table; in the statements below $1 is whole, $2 is ids, $3 is fresh.
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
    fragment text;
    counted bigint;
    changed boolean;
    together boolean;
    waits boolean;
    child_label text;
    parent_label text;
BEGIN
    log := format('[%s]', rtrim(concat(current_setting(log_name || '_full', true), current_setting(log_name, true)), ','))::jsonb;
    PERFORM set_config(name, '', true)
        FROM unnest(ARRAY[log_name, log_name || '_full']) AS name
        WHERE current_setting(name, true) <> '';
    IF log = '[]' THEN
        RETURN NULL;
    END IF;

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
        array_agg(table_name ORDER BY place), array_agg(child_key ORDER BY place), array_agg(parent_key ORDER BY place),
        array_agg(row_key ORDER BY place), array_agg(row_name ORDER BY place),
        array_agg(format('unnest(%s) AS %s', in_whole, row_name) ORDER BY place),
        array_agg(format('unnest(%s) AS %s', in_fresh, row_name) ORDER BY place),
        array_agg(format('count(*), ARRAY[%s]', gather) ORDER BY place),
        array_fill(NULL::text, ARRAY[count(*)::integer, max(width)::integer])
    INTO names, child_keys, parent_keys, row_keys, row_names, whole_rows, fresh_rows, gathers, whole
    FROM (
        SELECT
            place, table_name, count(*) AS width,
            string_agg(format('c.%I', a.attname), ', ' ORDER BY number) AS child_key,
            string_agg(format('p.%I', a.attname), ', ' ORDER BY number) AS parent_key,
            string_agg(format('r.k%s', number), ', ' ORDER BY number) AS row_key,
            format('r (%s)', string_agg(format('k%s', number), ', ' ORDER BY number)) AS row_name,
            string_agg(format('array_agg(r.k%s::text)::text', number), ', ' ORDER BY number) AS gather,
            string_agg(
                format('($1)[%s][%s]::%s[]', place, number, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY number
            ) AS in_whole,
            string_agg(
                format('($3)[%s][%s]::%s[]', place, number, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY number
            ) AS in_fresh
        FROM (
            SELECT place, entry, format('%I.%I', coalesce(entry ->> 'schema', home), entry ->> 'name') AS table_name
            FROM jsonb_array_elements(facts -> 'tables') WITH ORDINALITY AS list (entry, place)
        ) AS listed
        CROSS JOIN jsonb_array_elements_text(entry -> 'key') WITH ORDINALITY AS key (column_name, number)
        JOIN pg_attribute AS a ON a.attrelid = table_name::regclass AND a.attname = column_name
        GROUP BY place, table_name
    ) AS prepared;

    FOR k IN 1 .. jsonb_array_length(log -> 0) - 1 LOOP
        whole[1][k] := (SELECT array_agg(entry ->> k)::text FROM jsonb_array_elements(log) AS entry);
    END LOOP;
    ids := ARRAY(
        SELECT DISTINCT (entry ->> 0)::uuid FROM jsonb_array_elements(log) AS entry WHERE entry ->> 0 IS NOT NULL
    );

    -- Collect downwards; the rounds of a cyclic group follow what the round before has found.
    FOR step IN SELECT jsonb_array_elements(facts -> 'below') LOOP
        fresh := whole;
        LOOP
            latest := array_fill(NULL::text, ARRAY[array_length(whole, 1), array_length(whole, 2)]);
            changed := false;
            FOR target, edge IN
                SELECT t, e FROM jsonb_array_elements(step -> 'tables') AS t, jsonb_array_elements(t -> 'edges') AS e
            LOOP
                here := (target ->> 'table')::integer + 1;
                above := (edge ->> 'parent')::integer + 1;
                child := facts -> 'tables' -> (here - 1);
                EXECUTE format(
                    'SELECT %s FROM (SELECT DISTINCT %s FROM %s JOIN %s AS p ON (%s) = (%s) JOIN %s AS c ON %s'
                    ' WHERE c.%I = ANY ($2) AND c.%I IS NOT NULL'
                    ' AND NOT EXISTS (SELECT FROM %s WHERE (%s) = (%s))) AS %s',
                    gathers[here], child_keys[here], fresh_rows[above], names[above],
                    parent_keys[above], row_keys[above], names[here],
                    (SELECT string_agg(format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND ')
                        FROM jsonb_array_elements(edge -> 'on') AS pair),
                    child ->> 'deletion_id', child ->> 'deleted_at',
                    whole_rows[here], child_keys[here], row_keys[here], row_names[here]
                ) INTO counted, gathered USING whole, ids, fresh;
                CONTINUE WHEN counted = 0;
                changed := true;
                FOR k IN 1 .. array_length(gathered, 1) LOOP
                    whole[here][k] := (whole[here][k]::text[] || gathered[k]::text[])::text;
                    latest[here][k] := (latest[here][k]::text[] || gathered[k]::text[])::text;
                END LOOP;
            END LOOP;
            EXIT WHEN NOT changed OR NOT (step ->> 'cyclic')::boolean;
            fresh := latest;
        END LOOP;
    END LOOP;

    -- Lock the parents of all these rows, then the rows.
    FOR step IN SELECT jsonb_array_elements(facts -> 'parents') LOOP
        above := (step ->> 'table')::integer + 1;
        EXECUTE format(
            'SELECT FROM %s AS p WHERE (%s) IN (%s) ORDER BY %2$s FOR KEY SHARE',
            names[above], parent_keys[above],
            (
                SELECT string_agg(
                    format(
                        'SELECT %s FROM %s JOIN %s AS c ON (%s) = (%s) JOIN %s AS p ON %s',
                        parent_keys[above], whole_rows[lower_place], names[lower_place],
                        child_keys[lower_place], row_keys[lower_place], names[above],
                        (SELECT string_agg(format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND ')
                            FROM jsonb_array_elements(e -> 'on') AS pair)
                    ), ' UNION ALL '
                )
                FROM jsonb_array_elements(step -> 'edges') AS e,
                    LATERAL (SELECT (e ->> 'child')::integer + 1) AS l (lower_place)
            )
        ) USING whole;
    END LOOP;
    FOR target IN
        SELECT t FROM jsonb_array_elements(facts -> 'below') AS s, jsonb_array_elements(s -> 'tables') AS t
    LOOP
        here := (target ->> 'table')::integer + 1;
        EXECUTE format(
            'SELECT FROM %s AS c WHERE (%s) IN (SELECT * FROM %s) AND c.%I = ANY ($2) ORDER BY %2$s FOR NO KEY UPDATE',
            names[here], child_keys[here], whole_rows[here], facts #>> ARRAY['tables', target ->> 'table', 'deletion_id']
        ) USING whole, ids;
    END LOOP;

    -- No row may come back below a dead parent that stays dead.  One that died apart is an error; one of the same
    -- deletion, but not below what is restored here, keeps its other children dead, and theirs.
    LOOP
        changed := false;
        FOR step, edge IN
            SELECT s, e FROM jsonb_array_elements(facts -> 'parents') AS s, jsonb_array_elements(s -> 'edges') AS e
        LOOP
            above := (step ->> 'table')::integer + 1;
            here := (edge ->> 'child')::integer + 1;
            parent := facts -> 'tables' -> (above - 1);
            child := facts -> 'tables' -> (here - 1);
            fragment := format(
                ' %s AS c JOIN %s AS p ON %s WHERE p.%I IS NOT NULL AND NOT (p.%I IS NOT NULL AND p.%5$I = ANY ($2)'
                ' AND EXISTS (SELECT FROM %s WHERE (%s) = (%s))) AND (c.%I IS NULL OR c.%I = ANY ($2)) AND ',
                names[here], names[above],
                (SELECT string_agg(format('p.%I = c.%I', pair ->> 0, pair ->> 1), ' AND ')
                    FROM jsonb_array_elements(edge -> 'on') AS pair),
                parent ->> 'deleted_at', parent ->> 'deletion_id',
                whole_rows[above], parent_keys[above], row_keys[above],
                child ->> 'deleted_at', child ->> 'deletion_id'
            );
            EXECUTE format(
                'SELECT found.together, found.together AND found.dead, upper_key, lower_key FROM ('
                'SELECT coalesce(p.%I = ANY ($2), false), c.%I IS NOT NULL, concat_ws('', '', %s), concat_ws('', '', %s)'
                ' FROM %s (%s) IN (SELECT * FROM %s)) AS found (together, dead, upper_key, lower_key) ORDER BY 2, 4 LIMIT 1',
                parent ->> 'deletion_id', child ->> 'deleted_at', parent_keys[above], child_keys[here],
                fragment, child_keys[here], whole_rows[here]
            ) INTO together, waits, parent_label, child_label USING whole, ids;
            CONTINUE WHEN together IS NULL;
            IF NOT waits THEN
                RAISE EXCEPTION 'row (%) of table % cannot be restored: row (%) of table % above it is deleted',
                    child_label, names[here], parent_label, names[above]
                    USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                    DETAIL = CASE
                        WHEN together THEN 'Both went with the same deletion.'
                        ELSE 'It was deleted apart from the row below it.'
                    END,
                    HINT = format('Restore that row of %s first: what went with it comes back with it.', names[above]);
            END IF;
            EXECUTE format(
                'SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s (%s) = (%s))',
                gathers[here], whole_rows[here], fragment, child_keys[here], row_keys[here]
            ) INTO counted, gathered USING whole, ids;
            FOR k IN 1 .. array_length(gathered, 1) LOOP
                whole[here][k] := gathered[k];
            END LOOP;
            changed := true;
        END LOOP;
        EXIT WHEN NOT changed;
    END LOOP;

    PERFORM set_config('pgultra.soft_delete_cascading', pg_trigger_depth()::text, true);
    FOR target IN
        SELECT t FROM jsonb_array_elements(facts -> 'below') AS s, jsonb_array_elements(s -> 'tables') AS t
    LOOP
        here := (target ->> 'table')::integer + 1;
        child := facts -> 'tables' -> (here - 1);
        EXECUTE format(
            'UPDATE %s AS c SET %I = NULL, %I = NULL, %I = NULL%s'
            ' WHERE (%s) IN (SELECT * FROM %s) AND c.%2$I IS NOT NULL AND c.%4$I = ANY ($2)',
            names[here], child ->> 'deleted_at', child ->> 'deleted_by', child ->> 'deletion_id',
            coalesce(', ' || quote_ident(child ->> 'flag') || ' = false', ''), child_keys[here], whole_rows[here]
        ) USING whole, ids;
    END LOOP;
    PERFORM set_config('pgultra.soft_delete_cascading', outer_cascade, true);
    RETURN NULL;
END
