-- What only a materialized view has, and what pg_dump tells of it beside that.
SELECT pg_catalog.jsonb_build_object(
    'definition', pg_catalog.pg_get_viewdef(c.oid),
    'filenode', pg_catalog.pg_relation_filenode(c.oid)::text,
    'populated', c.relispopulated,
    'method', (SELECT am.amname FROM pg_catalog.pg_am AS am WHERE am.oid = c.relam),
    'owner_may_create', pg_catalog.has_schema_privilege(c.relowner, c.relnamespace, 'CREATE'),
    'denied', (SELECT COALESCE(pg_catalog.jsonb_agg(d.privilege_type ORDER BY d.privilege_type), '[]')
        FROM pg_catalog.aclexplode(pg_catalog.acldefault('r', c.relowner)) AS d
        WHERE c.relacl IS NOT NULL AND d.grantee = c.relowner AND NOT EXISTS (
            SELECT FROM pg_catalog.aclexplode(c.relacl) AS g
            WHERE g.grantee = c.relowner AND g.privilege_type = d.privilege_type)),
    'labels', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_seclabel AS l
        WHERE l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND l.objoid = c.oid),
    'extensions', (SELECT COALESCE(pg_catalog.jsonb_agg(DISTINCT e.extname), '[]')
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
            AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('e', 'x')
            AND (d.objid = c.oid OR d.objid IN (
                SELECT x.indexrelid FROM pg_catalog.pg_index AS x WHERE x.indrelid = c.oid))),
    'unpopulated', (SELECT COALESCE(pg_catalog.jsonb_agg(
            pg_catalog.format('%I.%I', n.nspname, o.relname) ORDER BY o.relname), '[]')
        FROM (${reads}) AS r
        JOIN pg_catalog.pg_class AS o ON o.oid = r.read AND o.relkind = 'm'
        JOIN pg_catalog.pg_namespace AS n ON n.oid = o.relnamespace
        WHERE r.reader = c.oid AND NOT o.relispopulated),
    'view_locks', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.format('ALTER VIEW %I.%I OWNER TO %I',
            n.nspname, v.relname, pg_catalog.pg_get_userbyid(v.relowner)) ORDER BY v.relname), '[]')
        FROM (${reads}) AS r
        JOIN pg_catalog.pg_class AS v ON v.oid = r.reader AND v.relkind = 'v'
        JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace WHERE r.read = c.oid),
    'column_settings', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', a.attname,
            'storage', CASE WHEN a.attstorage <> y.typstorage THEN CASE a.attstorage
                WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                ELSE 'EXTENDED' END END,
            'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
            'comment', pg_catalog.col_description(c.oid, a.attnum)) ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute AS a
        JOIN pg_catalog.pg_type AS y ON y.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'index_settings', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', i.relname,
            'tablespace', (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s
                WHERE s.oid = i.reltablespace),
            'targets', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                    a.attnum, a.attstattarget) ORDER BY a.attnum), '[]')
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = i.oid AND COALESCE(a.attstattarget, -1) >= 0)) ORDER BY i.relname), '[]')
        FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid),
    'statistics_settings', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', s.stxname,
            'owner', NULLIF(pg_catalog.pg_get_userbyid(s.stxowner), current_user),
            'target', NULLIF(COALESCE(s.stxstattarget, -1), -1)) ORDER BY s.stxname), '[]')
        FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxrelid = c.oid)
)::text
FROM pg_catalog.pg_class AS c
WHERE c.oid = ${oid}
