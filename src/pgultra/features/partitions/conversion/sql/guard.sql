DO $$$$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT g.privilege_type, CASE g.grantee WHEN 0 THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
        FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS g
        WHERE c.oid = ${table}::pg_catalog.regclass AND g.grantee <> c.relowner AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_class AS p, pg_catalog.aclexplode(p.relacl) AS h
            WHERE p.oid = ${parent}::pg_catalog.regclass AND h.grantee = g.grantee
                AND h.privilege_type = g.privilege_type)
    LOOP
        EXECUTE 'REVOKE ' || other.privilege_type || ' ON TABLE ' || ${table}
            || ' FROM ' || other.name;
    END LOOP;
    IF (SELECT p.relrowsecurity FROM pg_catalog.pg_class AS p
            WHERE p.oid = ${parent}::pg_catalog.regclass) THEN
        EXECUTE 'ALTER TABLE ' || ${table} || ' ENABLE ROW LEVEL SECURITY';
    END IF;
END
$$$$
