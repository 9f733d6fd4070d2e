-- AFTER UPDATE OF the source columns, for each row that differs in them: the embedding is
-- stale, and whoever works on it now works on the old text, so his lease ends.
-- Arguments: the state table, then the columns of the primary key.
DECLARE
    given text;
    own text;
BEGIN
    SELECT string_agg(format('($1).%I', name), ', ' ORDER BY place),
        string_agg('key_' || (place - 1), ', ' ORDER BY place)
    INTO given, own
    FROM unnest(TG_ARGV[1:]) WITH ORDINALITY AS k (name, place);
    EXECUTE format(
        'INSERT INTO %I.%I AS s (%s, stale_since) SELECT %s, now() '
        'ON CONFLICT (%s) DO UPDATE SET stale_since = coalesce(s.stale_since, now()), '
        'available_at = now(), attempts = 0, lease = NULL, error = NULL, failed_at = NULL',
        TG_TABLE_SCHEMA, TG_ARGV[0], own, given, own)
    USING NEW;
    RETURN NULL;
END
