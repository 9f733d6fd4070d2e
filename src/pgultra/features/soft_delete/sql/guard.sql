-- Refuses a DELETE on a table whose rows are deleted softly.
--
-- After the statement, not before it: a foreign key with ON DELETE CASCADE sends a DELETE here for
-- every row that goes above, and only one that reaches a row is refused.
--
-- Trigger argument: the name of the column deleted_at.  Transition table: gone.
DECLARE
    reached CONSTANT bigint := (SELECT count(*) FROM gone);
BEGIN
    IF reached > 0 THEN
        RAISE EXCEPTION 'DELETE on table %.% is refused: its rows are deleted softly',
            quote_ident(TG_TABLE_SCHEMA), quote_ident(TG_TABLE_NAME)
            USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            DETAIL = format(
                'It reached %s row(s), by itself or by ON DELETE CASCADE of a foreign key.', reached
            ),
            HINT = format(
                'Write UPDATE ... SET %I = now() instead, or, to remove the rows for good, '
                'SET LOCAL pgultra.hard_delete = ''on'' first.', TG_ARGV[0]
            );
    END IF;
    RETURN NULL;
END
