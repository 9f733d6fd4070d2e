-- Does after a statement what its rows ask for. The texts are for format(..., schema).
--
-- Trigger arguments:
--   0  what to do
--   1  a query that finds a row if anything changed; without it, something did. PostgreSQL fires after statements
--      that changed no row, too: tables whose vectors hang on each other would call each other for ever
--   2  a query for the schema of tables that are declared without one, where it is not that of the trigger's table
DECLARE
    place text := TG_TABLE_SCHEMA;
    changed bigint;
BEGIN
    IF TG_ARGV[1] <> '' THEN
        EXECUTE format(TG_ARGV[1], place);
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed = 0 THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_ARGV[2] <> '' THEN
        EXECUTE TG_ARGV[2] INTO place USING TG_RELID;
        place := coalesce(place, TG_TABLE_SCHEMA);
    END IF;
    EXECUTE format(TG_ARGV[0], place);
    RETURN NULL;
END
