DO $$$$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS g
        WHERE c.oid = ${table}::pg_catalog.regclass AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL ON TABLE ' || ${table} || ' FROM ' || other.name;
    END LOOP;
END
$$$$
