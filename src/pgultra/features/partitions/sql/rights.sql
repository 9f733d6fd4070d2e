                FOR each IN -- what default privileges give, and the parent does not
                    SELECT g.privilege_type, CASE g.grantee WHEN 0 THEN 'PUBLIC'
                        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END AS name
                    FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS g
                    WHERE c.oid = child::pg_catalog.regclass AND g.grantee <> c.relowner
                        AND NOT EXISTS (
                        SELECT FROM pg_catalog.pg_class AS p, pg_catalog.aclexplode(p.relacl) AS h
                        WHERE p.oid = top.oid AND h.grantee = g.grantee
                            AND h.privilege_type = g.privilege_type)
                LOOP
                    EXECUTE pg_catalog.format('REVOKE %s ON TABLE %s FROM %s',
                        each.privilege_type, child, each.name);
                END LOOP;
                IF (SELECT p.relrowsecurity FROM pg_catalog.pg_class AS p WHERE p.oid = top.oid) THEN
                    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', child);
                END IF;
