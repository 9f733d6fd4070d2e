DO $$$$
BEGIN
    IF EXISTS (SELECT FROM ${table}) THEN
        RAISE EXCEPTION 'rows in ${table_quoted} have no partition' USING ERRCODE = 'check_violation';
    END IF;
END
$$$$
