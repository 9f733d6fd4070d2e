-- AFTER INSERT, for each statement: the new rows wait for their embedding.
-- Arguments: the state table, then the columns of the primary key.
DECLARE
    given text;
    own text;
BEGIN
    SELECT string_agg(format('%I', name), ', ' ORDER BY place),
        string_agg('key_' || (place - 1), ', ' ORDER BY place)
    INTO given, own
    FROM unnest(TG_ARGV[1:]) WITH ORDINALITY AS k (name, place);
    EXECUTE format(
        'INSERT INTO %I.%I (%s, stale_since) SELECT %s, now() FROM pgultra_new '
        'ON CONFLICT (%s) DO UPDATE SET stale_since = now(), available_at = now(), attempts = 0, '
        'lease = NULL, error = NULL, failed_at = NULL',
        TG_TABLE_SCHEMA, TG_ARGV[0], own, given, own);
    RETURN NULL;
END
