DO $$$$
BEGIN
    IF EXISTS (SELECT FROM ${table}) THEN
        RAISE EXCEPTION USING MESSAGE = 'rows in ${table_quoted} have no partition',
            ERRCODE = 'check_violation';
    END IF;
END
$$$$
