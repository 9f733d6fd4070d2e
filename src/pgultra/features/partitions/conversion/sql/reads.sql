-- What each view, plain or materialized, reads: relations, and relations whose row type it names,
-- alone or as an array. PostgreSQL's own views read nothing of anybody's; their oids are lower.
SELECT w.ev_class AS reader, d.refobjid AS read
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid >= 16384
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid <> w.ev_class
UNION
SELECT w.ev_class, r.oid
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    JOIN pg_catalog.pg_type AS y ON y.oid = d.refobjid
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = y.typelem
    JOIN LATERAL (VALUES (y.typrelid), (e.typrelid)) AS r (oid) ON r.oid <> 0
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid >= 16384
        AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
        AND r.oid <> w.ev_class
