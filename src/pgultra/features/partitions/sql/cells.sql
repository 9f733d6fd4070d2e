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
            ahead := 0;
            IF is_number THEN
                IF pg_catalog.row_security_active(top.oid) THEN -- hidden rows are near enough
                    SELECT max((pg_catalog.regexp_match(pg_catalog.pg_get_expr(
                        c.relpartbound, c.oid), 'FROM \(''?(-?\d+)'))[1]::numeric) INTO now_n
                    FROM pg_catalog.pg_inherits AS i
                    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                    WHERE i.inhparent = top.oid AND EXISTS (
                        SELECT FROM pg_catalog.pg_partition_tree(c.oid) AS t
                        WHERE t.isleaf AND pg_catalog.pg_relation_size(t.relid) > 0);
                ELSE
                    EXECUTE pg_catalog.format('SELECT pg_catalog.max(%I)::numeric FROM %s',
                        rule ->> 'column', top.spelt) INTO now_n;
                END IF;
                least_n := CASE kind WHEN 'smallint' THEN -32768 WHEN 'integer' THEN -2147483648
                    ELSE -9223372036854775808 END;
                now_n := coalesce(now_n, (grid ->> 'start')::numeric, 0);
                n_first := least(now_n, coalesce(
                    (SELECT pg_catalog.min(CASE WHEN s.low = '-Infinity' THEN s.high ELSE s.low END)
                        FROM unnest(n_lows, n_highs) AS s (low, high)),
                    (grid ->> 'start')::numeric, now_n));
                -- what retention would take away is no gap
                n_first := greatest(n_first, now_n - (grid -> 'retain' ->> 0)::numeric);
                FOR hole IN
                    SELECT h.low AS at, h.low, h.high, (h.high - h.low) / step AS cells
                    FROM (SELECT greatest(max(r.high) OVER w, n_first) AS low,
                            least(lead(r.low) OVER w, now_n) AS high
                        FROM (SELECT * FROM unnest(n_lows, n_highs)
                            UNION ALL SELECT '-Infinity', n_first) AS r (low, high)
                        WINDOW w AS (ORDER BY r.low, r.high)) AS h
                    WHERE h.low < h.high
                    UNION ALL SELECT now_n, n_first, 'Infinity', 0 ORDER BY 1
                LOOP
                    IF hole.cells > 500 THEN
                        CONTINUE WHEN pg_catalog.cardinality(n_lows) > 0;
                        lacking := hole.cells;
                        EXIT;
                    END IF;
                    -- floor(hole.at / step), which would be rounded
                    n := pg_catalog.div(hole.at - pg_catalog.mod(pg_catalog.mod(hole.at, step) + step, step), step);
                    LOOP
                        n_low := n * step;
                        n_high := n_low + step;
                        EXIT WHEN n_low >= least(-least_n, hole.high)
                            OR hole.high <= now_n AND n_high > now_n;
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
                            IF n_since < n_until AND n_until > hole.low AND n_since < hole.high THEN
                                ahead := ahead + (hole.high = 'Infinity')::integer;
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
                FOR hole IN
                    SELECT h.low AS at, h.low, h.high, CASE unit WHEN 'month' THEN
                        extract(year FROM h.high) * 12 + extract(month FROM h.high)
                            - extract(year FROM h.low) * 12 - extract(month FROM h.low)
                        ELSE extract(epoch FROM h.high - h.low)
                            / CASE unit WHEN 'day' THEN 86400 ELSE 60 END END / step AS cells
                    FROM (SELECT greatest(max(r.high) OVER w, first) AS low,
                            least(lead(r.low) OVER w, now_at) AS high
                        FROM (SELECT * FROM unnest(lows, highs)
                            UNION ALL SELECT '-infinity', first) AS r (low, high)
                        WINDOW w AS (ORDER BY r.low, r.high)) AS h
                    WHERE h.low < h.high
                    UNION ALL SELECT now_at, first, 'infinity', 0 ORDER BY 1
                LOOP
                    IF hole.cells > 500 THEN
                        CONTINUE WHEN pg_catalog.cardinality(lows) > 0;
                        lacking := hole.cells;
                        EXIT;
                    END IF;
                    cell_low := hole.at;
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
                        EXIT WHEN since >= hole.high OR hole.high <= now_at AND cell_high > now_at;
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
                            IF since < until AND until > hole.low AND since < hole.high THEN
                                ahead := ahead + (hole.high = 'infinity')::integer;
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
                END LOOP;
            END IF;
            IF pg_catalog.cardinality(lows) + pg_catalog.cardinality(n_lows) > 0 AND ahead <= 500
            THEN -- in portions: the newest first
                wanted := coalesce((SELECT pg_catalog.jsonb_agg(w.item ORDER BY w.place)
                    FROM pg_catalog.jsonb_array_elements(wanted) WITH ORDINALITY AS w (item, place)
                    WHERE w.place > pg_catalog.jsonb_array_length(wanted) - 500), '[]');
            END IF;
        END IF;
