DO $$$$
DECLARE
    child text := ${table};
    top record;
    each record;
BEGIN
    SELECT c.oid INTO top FROM pg_catalog.pg_class AS c
    WHERE c.oid = ${parent}::pg_catalog.regclass;
${rights}END
$$$$
