-- Refuses a TRUNCATE on a table whose rows are deleted softly.
--
-- Trigger argument: the name of the column deleted_at.
BEGIN
    RAISE EXCEPTION 'TRUNCATE on table %.% is refused: its rows are deleted softly',
        quote_ident(TG_TABLE_SCHEMA), quote_ident(TG_TABLE_NAME)
        USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
        HINT = format(
            'Write UPDATE ... SET %I = now() instead, or, to remove all rows for good, '
            'SET LOCAL pgultra.hard_delete = ''on'' first.', TG_ARGV[0]
        );
END
