-- What each view, plain or materialized, reads: relations, and relations whose row type it names.
SELECT w.ev_class AS reader, d.refobjid AS read
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid <> w.ev_class
UNION
SELECT w.ev_class, r.oid
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
    JOIN pg_catalog.pg_type AS y ON y.oid = d.refobjid
    JOIN pg_catalog.pg_class AS r ON r.reltype <> 0 AND r.reltype IN (y.oid, y.typelem)
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        AND d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
        AND r.oid <> w.ev_class
