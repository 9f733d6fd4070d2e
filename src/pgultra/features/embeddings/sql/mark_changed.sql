-- AFTER UPDATE, for each row whose source columns differ: the embedding is stale, and whoever
-- works on it now works on the old text, so his lease ends. On partitions AFTER INSERT, too.
-- Arguments: the state table, then the columns of the primary key.
--
-- On partitions AFTER DELETE, too: a row that moves to another partition is deleted there and
-- inserted here, and foreign keys follow it only after both. So what is noted of it is still
-- there, as it is not after a plain DELETE: the foreign key's trigger sorts before this one.
-- It goes, and the row that is inserted is noted as a new one.
-- Arguments then: the state table; the chunk table, its schema (empty: that of the state table)
-- and "hard" if its rows are deleted softly, or three empty ones; then pairs of a column of the
-- primary key and the column of the chunk table that refers to it.
DECLARE
    home text := TG_TABLE_SCHEMA;
    fresh CONSTANT text := 'stale_since = coalesce(s.stale_since, now()), available_at = now(), '
        'attempts = 0, lease = NULL, error = NULL, failed_at = NULL';
    given text;
    own text;
    former text;
    later text;
    touched bigint;
    before CONSTANT text := coalesce(current_setting('pgultra.hard_delete', true), '');
BEGIN
    -- home.sql
    IF TG_OP = 'DELETE' THEN
        SELECT string_agg(
                format('key_%s = ($1).%I', (place - 4) / 2, TG_ARGV[place]), ' AND ' ORDER BY place),
            string_agg(
                format('%I = ($1).%I', TG_ARGV[place + 1], TG_ARGV[place]), ' AND ' ORDER BY place)
        INTO own, given
        FROM generate_series(4, TG_NARGS - 1, 2) AS g (place);
        EXECUTE format('SELECT FROM %I.%I WHERE %s', home, TG_ARGV[0], own) USING OLD;
        GET DIAGNOSTICS touched = ROW_COUNT;
        IF touched = 0 THEN
            RETURN NULL;
        END IF;
        EXECUTE format('DELETE FROM %I.%I WHERE %s', home, TG_ARGV[0], own) USING OLD;
        IF TG_ARGV[1] = '' THEN
            RETURN NULL;
        END IF;
        IF TG_ARGV[3] = 'hard' THEN
            PERFORM set_config('pgultra.hard_delete', 'on', true);
        END IF;
        EXECUTE format(
            'DELETE FROM %I.%I WHERE %s',
            coalesce(nullif(TG_ARGV[2], ''), home), TG_ARGV[1], given)
        USING OLD;
        IF TG_ARGV[3] = 'hard' THEN
            PERFORM set_config('pgultra.hard_delete', before, true);
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- A new key is cascaded before this or after it, as the names of the triggers sort.
        SELECT string_agg(format('s.key_%s = ($1).%I', place - 1, name), ' AND ' ORDER BY place),
            string_agg(format('s.key_%s = ($2).%I', place - 1, name), ' AND ' ORDER BY place)
        INTO former, later
        FROM unnest(TG_ARGV[1:]) WITH ORDINALITY AS k (name, place);
        EXECUTE format(
            'UPDATE %I.%I AS s SET %s WHERE (%s) OR (%s)',
            home, TG_ARGV[0], fresh, former, later)
        USING OLD, NEW;
        GET DIAGNOSTICS touched = ROW_COUNT;
        IF touched > 0 THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT string_agg(format('($1).%I', name), ', ' ORDER BY place),
        string_agg('key_' || (place - 1), ', ' ORDER BY place)
    INTO given, own
    FROM unnest(TG_ARGV[1:]) WITH ORDINALITY AS k (name, place);
    EXECUTE format(
        'INSERT INTO %I.%I AS s (%s, stale_since) SELECT %s, now() '
        'ON CONFLICT (%s) DO UPDATE SET %s',
        home, TG_ARGV[0], own, given, own, fresh)
    USING NEW;
    RETURN NULL;
END
