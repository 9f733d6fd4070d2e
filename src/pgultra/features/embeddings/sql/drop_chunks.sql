-- AFTER UPDATE OF the source columns of a parent, for each row that differs in them: its
-- chunks are of the old text, so they go at once; a worker makes the new ones.
-- Arguments: the chunk table and its schema (empty: the parent's own), then pairs of a key
-- column of the parent and the column of the chunk table that refers to it.
DECLARE
    same text;
BEGIN
    SELECT string_agg(
        format('%I = ($1).%I', TG_ARGV[place + 1], TG_ARGV[place]), ' AND ' ORDER BY place)
    INTO same
    FROM generate_series(2, TG_NARGS - 1, 2) AS g (place);
    EXECUTE format(
        'DELETE FROM %I.%I WHERE %s',
        coalesce(nullif(TG_ARGV[1], ''), TG_TABLE_SCHEMA), TG_ARGV[0], same)
    USING OLD;
    RETURN NULL;
END
