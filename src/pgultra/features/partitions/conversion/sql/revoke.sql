DO $$$$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
        FROM pg_catalog.pg_class AS c, LATERAL (
            SELECT t.grantee FROM pg_catalog.aclexplode(c.relacl) AS t
            UNION SELECT k.grantee FROM pg_catalog.pg_attribute AS a,
                pg_catalog.aclexplode(a.attacl) AS k WHERE a.attrelid = c.oid
        ) AS g
        WHERE c.oid = ${table}::pg_catalog.regclass AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL ON TABLE ' || ${table} || ' FROM ' || other.name;
    END LOOP;
END
$$$$
