
-- Makes the partitions that a table's rules want and that are not there: for the present and so
-- many steps beyond it, and in the gaps between those that exist, if these are of no more than 500
-- cells: beyond such a gap lies something old, not what this function left. Returns the new names.
--
-- What exists is told by the bounds in the catalog, never by names. A partition is made as a table
-- of its own and attached, which lets the readers and writers of the parent go on.
--
-- rules: JSON, as the declaration on the model renders it.  moment: what counts as the present.
DECLARE
    made text[] := '{}';
    levels jsonb := pg_catalog.jsonb_build_array(
        pg_catalog.jsonb_build_object('oid', parent::oid::text, 'rules', rules));
    level jsonb; rule jsonb; grid jsonb; part jsonb; wanted jsonb;
    top record; each record; hole record;
    bounds text[];
    child text; named text; label text; tail text; place text;
    room integer; attempt integer; ahead integer; lacking bigint := 0;
    application text := coalesce(rules ->> 'app', 'default');
    -- of the grid: instants (dates and timestamps as if in UTC), or whole numbers
    kind text; unit text; zone text;
    step numeric;
    is_number boolean;
    now_at timestamptz; now_n numeric; n numeric;
    lows timestamptz[]; highs timestamptz[];
    cell_low timestamptz; cell_high timestamptz; since timestamptz; until timestamptz;
    kept timestamptz; first timestamptz;
    n_lows numeric[]; n_highs numeric[];
    n_low numeric; n_high numeric; n_since numeric; n_until numeric; n_first numeric;
    least_n numeric;
    left_over integer;
    milliseconds bigint;
BEGIN
    -- one at a time for each table; maintain takes the same lock
    PERFORM pg_catalog.pg_advisory_xact_lock(1886544500, parent::oid::int8::bit(32)::int4);
    WHILE pg_catalog.jsonb_array_length(levels) > 0 LOOP
        level := levels -> 0;
        levels := levels - 0;
        rule := level -> 'rules';
        SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltablespace, p.partstrat,
            pg_catalog.pg_get_userbyid(c.relowner) AS owner,
            ARRAY(SELECT a.attname FROM pg_catalog.unnest(p.partattrs::int2[]) AS k (number)
                LEFT JOIN pg_catalog.pg_attribute AS a
                    ON a.attrelid = c.oid AND a.attnum = k.number) AS key,
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS spelt
        INTO top
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = c.oid
        WHERE c.oid = (level ->> 'oid')::oid;
        IF top.relkind IS DISTINCT FROM 'p'::"char"
            OR top.partstrat::text IS DISTINCT FROM pg_catalog.left(rule ->> 'by', 1)
            OR top.key IS DISTINCT FROM ARRAY[(rule ->> 'column')::name]
        THEN
            IF top.oid <> parent::oid THEN
                CONTINUE; -- made under other rules: it stays as it is
            END IF;
            RAISE EXCEPTION 'table % is not partitioned by %', top.spelt, rule ->> 'clause'
                USING ERRCODE = 'wrong_object_type',
                HINT = 'Turn it into a partitioned table with: pgultra partitions convert';
        END IF;
        wanted := '[]';
        bounds := ARRAY(
            SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid)
            FROM pg_catalog.pg_inherits AS i
            JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = top.oid AND NOT i.inhdetachpending);
        FOR part IN SELECT p.item FROM pg_catalog.jsonb_array_elements(rule -> 'parts') AS p (item)
        LOOP
            IF NOT EXISTS (
                SELECT FROM pg_catalog.unnest(bounds) AS b (bound)
                WHERE pg_catalog.replace(pg_catalog.replace(b.bound, '''NULL''', '"NULL"'), '''', '')
                    = pg_catalog.replace(pg_catalog.replace(part ->> 1, '''NULL''', '"NULL"'), '''', ''))
            THEN
                wanted := wanted || pg_catalog.jsonb_build_array(part);
            END IF;
        END LOOP;
        lacking := 0;
        grid := rule -> 'grid';
        -- cells.sql
        lacking := greatest(lacking, pg_catalog.jsonb_array_length(wanted));
        IF lacking > 500 THEN
            RAISE EXCEPTION 'table % lacks % partitions, more than one transaction should make',
                top.spelt, lacking
                USING ERRCODE = 'program_limit_exceeded',
                HINT = 'Choose a longer every=, a later start= or a smaller premake=.';
        END IF;
        FOR part IN SELECT p.item FROM pg_catalog.jsonb_array_elements(wanted) AS p (item) LOOP
            label := part ->> 0;
            attempt := 1;
            LOOP -- a name of at most 63 bytes that nothing else bears
                tail := label || CASE WHEN attempt > 1 THEN '_' || attempt ELSE '' END;
                named := top.relname || '_' || tail;
                IF pg_catalog.octet_length(pg_catalog.convert_to(named, 'UTF8')) > 63 THEN
                    place := '_' || pg_catalog.left(pg_catalog.encode(
                        pg_catalog.sha256(pg_catalog.convert_to(named, 'UTF8')), 'hex'), 8);
                    room := 53 - pg_catalog.octet_length(pg_catalog.convert_to(tail, 'UTF8'));
                    IF room >= 8 THEN
                        child := top.relname;
                        tail := '_' || tail || place;
                    ELSE
                        child := named;
                        room := 54;
                        tail := place;
                    END IF;
                    WHILE pg_catalog.octet_length(pg_catalog.convert_to(child, 'UTF8')) > room LOOP
                        child := pg_catalog.left(child, -1);
                    END LOOP;
                    named := child || tail;
                END IF;
                EXIT WHEN NOT EXISTS (
                    SELECT FROM pg_catalog.pg_class AS c
                    JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
                    WHERE s.nspname = top.nspname AND c.relname = named)
                    AND NOT EXISTS (
                    SELECT FROM pg_catalog.pg_type AS t
                    JOIN pg_catalog.pg_namespace AS s ON s.oid = t.typnamespace
                    WHERE s.nspname = top.nspname AND t.typname = named);
                attempt := attempt + 1;
            END LOOP;
            child := pg_catalog.format('%I.%I', top.nspname, named);
            BEGIN
                EXECUTE pg_catalog.format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY%s)%s%s%s',
                    child, top.spelt,
                    CASE WHEN part ->> 2 <> ''
                        THEN pg_catalog.format(', CONSTRAINT pgultra_bound CHECK (%s)', part ->> 2)
                    END,
                    ' PARTITION BY ' || (rule -> 'then' ->> 'clause'),
                    CASE WHEN rule -> 'then' IS NULL
                        THEN ' WITH (' || (rule ->> 'storage') || ')' END,
                    (SELECT pg_catalog.format(' TABLESPACE %I', t.spcname)
                        FROM pg_catalog.pg_tablespace AS t WHERE t.oid = top.reltablespace));
                IF top.owner <> current_user THEN
                    EXECUTE pg_catalog.format('ALTER TABLE %s OWNER TO %I', child, top.owner);
                END IF;
                -- rights.sql
                EXECUTE pg_catalog.format('COMMENT ON TABLE %s IS %L',
                    child, 'pgultra:' || application || ':partitions');
                FOR each IN -- those that PostgreSQL does not hand on: the statement triggers
                    SELECT t.tgname, t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid) AS definition
                    FROM pg_catalog.pg_trigger AS t
                    WHERE t.tgrelid = top.oid AND NOT t.tgisinternal AND t.tgtype & 1 = 0
                    ORDER BY t.tgname
                LOOP
                    EXECUTE pg_catalog.overlay(each.definition, ' ON ' || child || ' ',
                        pg_catalog.strpos(each.definition, ' ON ' || top.spelt || ' '),
                        pg_catalog.length(' ON ' || top.spelt || ' '));
                    IF each.tgenabled <> 'O' THEN
                        EXECUTE pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', child,
                            CASE each.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS'
                                ELSE 'ENABLE REPLICA' END, each.tgname);
                    END IF;
                END LOOP;
                EXECUTE pg_catalog.format('ALTER TABLE %s ATTACH PARTITION %s %s',
                    top.spelt, child, part ->> 1);
                IF part ->> 2 <> '' THEN
                    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT pgultra_bound', child);
                END IF;
                made := made || child;
            EXCEPTION
                WHEN invalid_object_definition THEN -- it exists in other words, or another is there
                    EXECUTE pg_catalog.format('CREATE TEMPORARY TABLE pgultra_bounds (LIKE %s) '
                        'PARTITION BY %s', top.spelt, pg_catalog.pg_get_partkeydef(top.oid));
                    EXECUTE 'CREATE TEMPORARY TABLE pgultra_bounds_part '
                        'PARTITION OF pg_temp.pgultra_bounds ' || (part ->> 1);
                    SELECT pg_catalog.count(DISTINCT s.words) = pg_catalog.count(s.words) AS differs
                    INTO each FROM (
                        SELECT ARRAY(SELECT x.word[1] FROM pg_catalog.regexp_matches(
                            pg_catalog.pg_get_expr(c.relpartbound, c.oid),
                            '''(?:[^'']|'''')*''|[^[:space:],()'']+', 'g') AS x (word)
                            ORDER BY 1) AS words
                        FROM pg_catalog.pg_inherits AS i
                        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                        WHERE i.inhparent IN (top.oid, pg_catalog.to_regclass('pg_temp.pgultra_bounds'))) AS s;
                    DROP TABLE pg_temp.pgultra_bounds;
                    IF each.differs AND top.oid = parent::oid AND rule -> 'then' IS NULL
                        AND rule ? 'parts'
                    THEN
                        RAISE EXCEPTION 'partition % cannot be made: another one of % has some of %',
                            child, top.spelt, part ->> 1
                            USING ERRCODE = 'invalid_object_definition',
                            HINT = 'Declare the groups or borders as they are, or detach that one.';
                    ELSIF each.differs THEN
                        RAISE WARNING 'partition % was not made: another one of % has some of %',
                            child, top.spelt, part ->> 1;
                    END IF;
                WHEN check_violation THEN
                    RAISE WARNING 'partition % was not made: the default partition of % holds rows '
                        'that belong in it', child, top.spelt
                        USING HINT = 'Move them with: partitions.drain_default(...)';
            END;
        END LOOP;
        IF rule -> 'then' IS NOT NULL THEN
            levels := levels || (
                SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                    'oid', c.oid::text, 'rules', rule -> 'then')), '[]')
                FROM pg_catalog.pg_inherits AS i
                JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = top.oid AND c.relkind = 'p' AND NOT i.inhdetachpending);
        END IF;
    END LOOP;
    RETURN made;
END
