DO $$$$
BEGIN
    IF EXISTS (SELECT FROM ${table}) THEN
        RAISE EXCEPTION USING MESSAGE = 'rows in ${table_quoted} have no partition',
            ERRCODE = 'serialization_failure';
    END IF;
END
$$$$
