
-- Makes the partitions that a table's rules want and that are not there: for the present and so
-- many steps beyond it, and in the gaps between those that exist. Returns the names of the new ones.
--
-- What exists is told by the bounds in the catalog, never by names. A partition is made as a table
-- of its own and attached, which lets the readers and writers of the parent go on.
--
-- rules: JSON, as the declaration on the model renders it.  moment: what counts as the present.
DECLARE
    made text[] := '{}';
    levels jsonb := pg_catalog.jsonb_build_array(
        pg_catalog.jsonb_build_object('oid', parent::oid::text, 'rules', rules));
    level jsonb;
    rule jsonb;
    grid jsonb;
    part jsonb;
    wanted jsonb;
    top record;
    each record;
    bounds text[];
    child text;
    named text;
    label text;
    tail text;
    place text;
    room integer;
    attempt integer;
    application text := coalesce(rules ->> 'app', 'default');
    -- of the grid: instants (dates and timestamps as if in UTC), or whole numbers
    kind text;
    unit text;
    zone text;
    step numeric;
    is_number boolean;
    now_at timestamptz;
    now_n numeric;
    n numeric;
    lows timestamptz[];
    highs timestamptz[];
    cell_low timestamptz;
    cell_high timestamptz;
    since timestamptz;
    until timestamptz;
    kept timestamptz;
    first timestamptz;
    n_lows numeric[];
    n_highs numeric[];
    n_low numeric;
    n_high numeric;
    n_since numeric;
    n_until numeric;
    n_first numeric;
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
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS spelt
        INTO top
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = c.oid
        WHERE c.oid = (level ->> 'oid')::oid;
        IF top.relkind IS DISTINCT FROM 'p'::"char"
            OR top.partstrat::text IS DISTINCT FROM pg_catalog.left(rule ->> 'by', 1)
        THEN
            IF top.oid <> parent::oid THEN
                CONTINUE; -- made under other rules: it stays as it is
            END IF;
            RAISE EXCEPTION 'table % is not partitioned by %', top.spelt, rule ->> 'by'
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
                WHERE pg_catalog.replace(b.bound, '''', '')
                    = pg_catalog.replace(part ->> 1, '''', ''))
            THEN
                wanted := wanted || pg_catalog.jsonb_build_array(part);
            END IF;
        END LOOP;
        grid := rule -> 'grid';
        IF grid IS NOT NULL THEN
            kind := grid ->> 'kind';
            unit := grid ->> 'unit';
            step := (grid ->> 'count')::numeric;
            is_number := unit = 'integer';
            zone := CASE WHEN kind IN ('timestamptz', 'uuid7') THEN grid ->> 'zone' ELSE 'UTC' END;
            lows := '{}';
            highs := '{}';
            n_lows := '{}';
            n_highs := '{}';
            FOR each IN -- both ends as text: numbers or moments
                SELECT ARRAY(
                    SELECT CASE WHEN e.value = 'MINVALUE' THEN '-infinity'
                        WHEN e.value = 'MAXVALUE' THEN 'infinity'
                        WHEN kind = 'uuid7' THEN (pg_catalog.to_timestamp(0) + interval '1 ms'
                            * (('x' || pg_catalog.left(pg_catalog.replace(e.value, '-', ''), 12))
                                ::bit(48)::bigint))::text
                        ELSE e.value END
                    FROM pg_catalog.unnest(m) WITH ORDINALITY AS u (spelt, at)
                    CROSS JOIN LATERAL pg_catalog.btrim(u.spelt, '()''') AS e (value)
                    ORDER BY u.at) AS ends
                FROM pg_catalog.unnest(bounds) AS b (bound)
                CROSS JOIN LATERAL pg_catalog.regexp_match(
                    b.bound, '^FOR VALUES FROM \((.*)\) TO \((.*)\)$') AS x (m)
                WHERE m IS NOT NULL
            LOOP
                IF is_number THEN
                    n_lows := n_lows || each.ends[1]::numeric;
                    n_highs := n_highs || each.ends[2]::numeric;
                ELSE
                    lows := lows || each.ends[1]::timestamptz;
                    highs := highs || each.ends[2]::timestamptz;
                END IF;
            END LOOP;
            left_over := (grid ->> 'premake')::integer;
            IF is_number THEN
                EXECUTE pg_catalog.format(
                    'SELECT pg_catalog.max(%I)::numeric FROM %s', rule ->> 'column', top.spelt)
                    INTO now_n;
                least_n := CASE kind WHEN 'smallint' THEN -32768 WHEN 'integer' THEN -2147483648
                    ELSE -9223372036854775808 END;
                now_n := coalesce(now_n, (grid ->> 'start')::numeric, 0);
                n_low := least(now_n, coalesce(
                    (SELECT pg_catalog.min(CASE WHEN s.low = '-Infinity' THEN s.high ELSE s.low END)
                        FROM unnest(n_lows, n_highs) AS s (low, high)),
                    (grid ->> 'start')::numeric, now_n));
                -- what retention would take away is no gap
                n_low := greatest(n_low, now_n - (grid -> 'retain' ->> 0)::numeric);
                n_first := n_low;
                FOR each IN SELECT s.low, s.high FROM unnest(n_lows, n_highs) AS s (low, high)
                    ORDER BY s.low
                LOOP -- on to the first gap
                    IF each.low <= n_low AND each.high > n_low THEN
                        n_low := each.high;
                    END IF;
                END LOOP;
                n_low := least(n_low, now_n);
                -- floor(n_low / step), which would be rounded
                n := pg_catalog.div(n_low - pg_catalog.mod(pg_catalog.mod(n_low, step) + step, step), step);
                LOOP
                    n_low := n * step;
                    n_high := n_low + step;
                    EXIT WHEN n_low >= -least_n;
                    n_since := n_low;
                    FOR each IN
                        SELECT s.low, s.high
                        FROM (SELECT u.low, u.high
                                FROM unnest(n_lows, n_highs) AS u (low, high)
                                WHERE u.low < n_high AND u.high > n_low
                                UNION ALL SELECT n_high, n_high) AS s (low, high)
                        ORDER BY s.low
                    LOOP
                        n_until := least(each.low, n_high);
                        IF n_since < n_until AND n_until > n_first THEN
                            wanted := wanted || pg_catalog.jsonb_build_array(
                                pg_catalog.jsonb_build_array(
                                    pg_catalog.replace(n_since::text, '-', 'm'),
                                    pg_catalog.format('FOR VALUES FROM (%s) TO (%s)',
                                        CASE WHEN n_since < least_n THEN 'MINVALUE'
                                            ELSE pg_catalog.quote_literal(n_since::text) END,
                                        CASE WHEN n_until >= -least_n THEN 'MAXVALUE'
                                            ELSE pg_catalog.quote_literal(n_until::text) END),
                                    pg_catalog.format('%1$I IS NOT NULL AND %1$I >= %2$s%3$s',
                                        rule ->> 'column', greatest(n_since, least_n),
                                        CASE WHEN n_until < -least_n THEN pg_catalog.format(
                                            ' AND %I < %s', rule ->> 'column', n_until) END)));
                        END IF;
                        n_since := greatest(n_since, each.high);
                    END LOOP;
                    IF n_high > now_n THEN
                        left_over := left_over - 1;
                        EXIT WHEN left_over < 0;
                    END IF;
                    n := n + 1;
                END LOOP;
            ELSE
                now_at := moment;
                IF kind IN ('timestamp', 'date') THEN
                    now_at := (moment AT TIME ZONE (grid ->> 'zone')) AT TIME ZONE 'UTC';
                END IF;
                cell_low := least(now_at, coalesce(
                    (SELECT pg_catalog.min(
                            CASE WHEN s.low = '-infinity' THEN s.high ELSE s.low END)
                        FROM unnest(lows, highs) AS s (low, high)),
                    (grid ->> 'start')::timestamptz, now_at));
                kept := (CASE grid -> 'retain' ->> 1 -- by the clock of the zone
                    WHEN 'minute' THEN moment
                        - (grid -> 'retain' ->> 0)::double precision * interval '1 minute'
                    WHEN 'day' THEN (moment AT TIME ZONE (grid ->> 'zone') - pg_catalog.make_interval(
                        days => (grid -> 'retain' ->> 0)::integer)) AT TIME ZONE (grid ->> 'zone')
                    ELSE (moment AT TIME ZONE (grid ->> 'zone') - pg_catalog.make_interval(
                        months => (grid -> 'retain' ->> 0)::integer)) AT TIME ZONE (grid ->> 'zone')
                    END);
                IF kind IN ('timestamp', 'date') THEN
                    kept := (kept AT TIME ZONE (grid ->> 'zone')) AT TIME ZONE 'UTC';
                END IF;
                first := greatest(cell_low, kept);
                cell_low := first;
                FOR each IN SELECT s.low, s.high FROM unnest(lows, highs) AS s (low, high)
                    ORDER BY s.low
                LOOP -- on to the first gap
                    IF each.low <= cell_low AND each.high > cell_low THEN
                        cell_low := each.high;
                    END IF;
                END LOOP;
                cell_low := least(cell_low, now_at);
                n := CASE unit
                    WHEN 'minute' THEN pg_catalog.floor(
                        extract(epoch FROM cell_low - timestamptz '2000-01-01 00:00:00+00') / 60 / step)
                    WHEN 'day' THEN pg_catalog.floor(
                        ((cell_low AT TIME ZONE zone)::date - date '2000-01-03') / step)
                    ELSE pg_catalog.floor((extract(year FROM cell_low AT TIME ZONE zone) * 12
                        + extract(month FROM cell_low AT TIME ZONE zone) - 24001) / step) END - 1;
                cell_high := NULL;
                LOOP
                    since := cell_high;
                    cell_high := CASE unit
                        WHEN 'minute' THEN timestamptz '2000-01-01 00:00:00+00'
                            + n::double precision * step::double precision * interval '1 minute'
                        WHEN 'day' THEN
                            (date '2000-01-03' + (n * step)::integer)::timestamp AT TIME ZONE zone
                        ELSE (timestamp '2000-01-01'
                            + pg_catalog.make_interval(months => (n * step)::integer))
                            AT TIME ZONE zone END;
                    n := n + 1;
                    CONTINUE WHEN since IS NULL OR cell_high <= cell_low OR since >= cell_high;
                    cell_low := since;
                    FOR each IN
                        SELECT s.low, s.high
                        FROM (SELECT u.low, u.high
                                FROM unnest(lows, highs) AS u (low, high)
                                WHERE u.low < cell_high AND u.high > cell_low
                                UNION ALL SELECT cell_high, cell_high) AS s (low, high)
                        ORDER BY s.low
                    LOOP
                        until := least(each.low, cell_high);
                        IF since < until AND until > first THEN
                            label := pg_catalog.to_char(
                                since AT TIME ZONE CASE WHEN unit = 'minute' THEN 'UTC'
                                    ELSE zone END, grid ->> 'label');
                            IF since > cell_low THEN -- the rest of a cell
                                label := label || '_'
                                    || pg_catalog.to_char(CASE WHEN kind IN ('timestamp', 'date')
                                        THEN (since AT TIME ZONE 'UTC') AT TIME ZONE (grid ->> 'zone')
                                        ELSE since END AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS');
                            END IF;
                            IF kind = 'uuid7' THEN
                                milliseconds := greatest(0, pg_catalog.floor(
                                    extract(epoch FROM since) * 1000));
                                place := CASE WHEN milliseconds = 0 THEN 'MINVALUE'
                                    ELSE pg_catalog.quote_literal((pg_catalog.lpad(
                                        pg_catalog.to_hex(milliseconds), 12, '0')
                                        || pg_catalog.repeat('0', 20))::uuid) END;
                                tail := pg_catalog.quote_literal((pg_catalog.lpad(pg_catalog.to_hex(
                                    pg_catalog.floor(extract(epoch FROM until) * 1000)::bigint), 12, '0')
                                    || pg_catalog.repeat('0', 20))::uuid);
                            ELSE
                                place := pg_catalog.quote_literal(CASE kind
                                    WHEN 'timestamptz' THEN since::text
                                    WHEN 'timestamp' THEN (since AT TIME ZONE 'UTC')::text
                                    ELSE (since AT TIME ZONE 'UTC')::date::text END);
                                tail := pg_catalog.quote_literal(CASE kind
                                    WHEN 'timestamptz' THEN until::text
                                    WHEN 'timestamp' THEN (until AT TIME ZONE 'UTC')::text
                                    ELSE (until AT TIME ZONE 'UTC')::date::text END);
                            END IF;
                            wanted := wanted || pg_catalog.jsonb_build_array(
                                pg_catalog.jsonb_build_array(label,
                                    pg_catalog.format('FOR VALUES FROM (%s) TO (%s)', place, tail),
                                    pg_catalog.format('%1$I IS NOT NULL%2$s AND %1$I < %3$s',
                                        rule ->> 'column',
                                        CASE WHEN place <> 'MINVALUE' THEN pg_catalog.format(
                                            ' AND %I >= %s', rule ->> 'column', place) END, tail)));
                        END IF;
                        since := greatest(since, each.high);
                    END LOOP;
                    cell_low := cell_high;
                    IF cell_high > now_at THEN
                        left_over := left_over - 1;
                        EXIT WHEN left_over < 0;
                    END IF;
                END LOOP;
            END IF;
        END IF;
        IF pg_catalog.jsonb_array_length(wanted) > 500 THEN
            RAISE EXCEPTION 'table % lacks % partitions, more than one transaction should make',
                top.spelt, pg_catalog.jsonb_array_length(wanted)
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
                WHEN invalid_object_definition THEN -- it exists, in other words
                    NULL;
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
