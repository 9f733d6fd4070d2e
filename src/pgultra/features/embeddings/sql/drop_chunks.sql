-- AFTER UPDATE of a parent, for each row whose source columns differ: its chunks are of the
-- old text, so they go at once; a worker makes the new ones.
-- Arguments: the chunk table and its schema (empty: the parent's own), then pairs of a key
-- column of the parent and the column of the chunk table that refers to it; then "hard" if
-- rows of the chunk table are deleted softly, for these are to go for good.
DECLARE
    home text := TG_TABLE_SCHEMA;
    same text;
    hard CONSTANT boolean := TG_NARGS % 2 = 1;
    before CONSTANT text := coalesce(current_setting('pgultra.hard_delete', true), '');
BEGIN
    -- home.sql
    SELECT string_agg(
        format('%I = ($1).%I', TG_ARGV[place + 1], TG_ARGV[place]), ' AND ' ORDER BY place)
    INTO same
    FROM generate_series(2, TG_NARGS - 2, 2) AS g (place);
    IF hard THEN
        PERFORM set_config('pgultra.hard_delete', 'on', true);
    END IF;
    EXECUTE format(
        'DELETE FROM %I.%I WHERE %s', coalesce(nullif(TG_ARGV[1], ''), home), TG_ARGV[0], same)
    USING OLD;
    IF hard THEN
        PERFORM set_config('pgultra.hard_delete', before, true);
    END IF;
    RETURN NULL;
END
