-- All that one table has and all that stands on it, as one document; $oid is the table.
SELECT pg_catalog.jsonb_build_object(
    'version', pg_catalog.current_setting('server_version_num')::int,
    'room_for_locks', pg_catalog.current_setting('max_locks_per_transaction')::bigint
        * (pg_catalog.current_setting('max_connections')::int
            + pg_catalog.current_setting('max_prepared_transactions')::int),
    'oid', c.oid::text,
    'schema', n.nspname,
    'name', c.relname,
    'kind', c.relkind::text,
    'persistence', c.relpersistence::text,
    'typed', c.reloftype <> 0,
    'owner', pg_catalog.pg_get_userbyid(c.relowner),
    'is_mine', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
    'is_me', c.relowner = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user),
    'may_create', pg_catalog.has_schema_privilege(n.oid, 'CREATE'),
    'sees_all', (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = current_user),
    'row_security', c.relrowsecurity,
    'forced', c.relforcerowsecurity,
    'replica_identity', c.relreplident::text,
    'options', COALESCE(pg_catalog.to_jsonb(c.reloptions), '[]'),
    'toast_options', COALESCE((SELECT pg_catalog.to_jsonb(o.reloptions)
        FROM pg_catalog.pg_class AS o WHERE o.oid = c.reltoastrelid), '[]'),
    'tablespace', (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s WHERE s.oid = c.reltablespace),
    'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
    'comments', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
            d.objsubid, d.description) ORDER BY d.objsubid)
        FROM pg_catalog.pg_description AS d WHERE d.objoid = c.oid AND d.objsubid > 0
            AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass), '[]'),
    'subscriptions', COALESCE((SELECT pg_catalog.jsonb_agg(s.subname ORDER BY s.subname)
        FROM pg_catalog.pg_subscription_rel AS e
        JOIN pg_catalog.pg_subscription AS s ON s.oid = e.srsubid WHERE e.srrelid = c.oid), '[]'),
    'rows', GREATEST(c.reltuples, 0)::bigint,
    'bytes', CASE c.relkind WHEN 'p' THEN 0 ELSE pg_catalog.pg_total_relation_size(c.oid) END,
    'parents', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid),
    'heirs', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid),
    'rules', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class = c.oid),
    'columns', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', a.attname,
            'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'not_null', a.attnotnull,
            'identity', a.attidentity::text,
            'generated', a.attgenerated::text,
            'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
            'target', NULLIF(COALESCE(a.attstattarget, -1), -1),
            'options', (SELECT COALESCE(pg_catalog.jsonb_agg(o.option ORDER BY o.option), '[]')
                FROM unnest(a.attoptions) AS o (option)
                WHERE o.option LIKE 'n\_distinct%')) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute AS a
        LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'constraints', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', k.conname,
            'type', k.contype::text,
            'definition', pg_catalog.pg_get_constraintdef(k.oid),
            'validated', k.convalidated,
            'no_inherit', k.connoinherit AND k.contype = 'c',
            'deferrable', k.condeferrable,
            'columns', (SELECT COALESCE(pg_catalog.jsonb_agg(a.attname ORDER BY u.place), '[]')
                FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number),
            'index', (SELECT i.relname FROM pg_catalog.pg_class AS i
                WHERE i.oid = k.conindid AND k.contype IN ('p', 'u', 'x')),
            'refers_to', k.confrelid::text,
            'comment', pg_catalog.obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname)
        FROM pg_catalog.pg_constraint AS k
        WHERE k.conrelid = c.oid AND k.contype IN ('c', 'p', 'u', 'x', 'f') AND k.conparentid = 0), '[]'),
    'indexes', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', i.relname,
            'unique', x.indisunique,
            'primary', x.indisprimary,
            'valid', x.indisvalid,
            'immediate', x.indimmediate,
            'clustered', x.indisclustered,
            'tablespace', (SELECT s.spcname FROM pg_catalog.pg_tablespace AS s
                WHERE s.oid = i.reltablespace),
            'is_identity', x.indisreplident,
            'plain', x.indexprs IS NULL AND x.indpred IS NULL,
            'columns', (SELECT COALESCE(pg_catalog.jsonb_agg(a.attname ORDER BY u.place), '[]')
                FROM unnest(x.indkey) WITH ORDINALITY AS u (number, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number
                WHERE u.place <= x.indnkeyatts),
            'constraint', (SELECT k.conname FROM pg_catalog.pg_constraint AS k
                WHERE k.conindid = x.indexrelid AND k.conrelid = c.oid
                    AND k.contype IN ('p', 'u', 'x')),
            'tail', pg_catalog.substr(pg_catalog.pg_get_indexdef(x.indexrelid),
                1 + pg_catalog.length(pg_catalog.format('CREATE %sINDEX %I ON %s%I.%I ',
                    CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, i.relname,
                    CASE c.relkind WHEN 'p' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname))),
            'operators', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                    en.nspname, e.oprname) ORDER BY u.place), '[]')
                FROM unnest(x.indclass) WITH ORDINALITY AS u (class, place)
                JOIN pg_catalog.pg_opclass AS oc ON oc.oid = u.class
                JOIN pg_catalog.pg_amop AS ao ON ao.amopfamily = oc.opcfamily
                    AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
                    AND ao.amopstrategy = 3 AND ao.amoppurpose = 's'
                JOIN pg_catalog.pg_operator AS e ON e.oid = ao.amopopr
                JOIN pg_catalog.pg_namespace AS en ON en.oid = e.oprnamespace
                WHERE u.place <= x.indnkeyatts AND oc.opcmethod = (
                    SELECT am.oid FROM pg_catalog.pg_am AS am WHERE am.amname = 'btree')),
            'comment', pg_catalog.obj_description(x.indexrelid, 'pg_class')) ORDER BY i.relname)
        FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid), '[]'),
    'triggers', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', t.tgname,
            'definition', pg_catalog.pg_get_triggerdef(t.oid),
            'place', pg_catalog.format(' ON %I.%I ', n.nspname, c.relname),
            'enabled', t.tgenabled::text,
            'transition', t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL,
            'each_row', (t.tgtype & 1) = 1,
            'before', (t.tgtype & 2) = 2,
            'comment', pg_catalog.obj_description(t.oid, 'pg_trigger')) ORDER BY t.tgname)
        FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal), '[]'),
    'grants', COALESCE((
        SELECT pg_catalog.jsonb_agg(g.entry ORDER BY g.entry) FROM (
            SELECT pg_catalog.jsonb_build_array(g.privilege_type, '', g.is_grantable,
                CASE g.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee) END) AS entry
            FROM pg_catalog.aclexplode(c.relacl) AS g WHERE g.grantee <> c.relowner
            UNION ALL
            SELECT pg_catalog.jsonb_build_array(g.privilege_type, a.attname, g.is_grantable,
                CASE g.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee) END)
            FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS g
            WHERE a.attrelid = c.oid AND g.grantee <> c.relowner) AS g), '[]'),
    'policies', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', p.polname,
            'command', p.polcmd::text,
            'permissive', p.polpermissive,
            'roles', (SELECT pg_catalog.jsonb_agg(CASE u.role WHEN 0 THEN NULL
                ELSE pg_catalog.pg_get_userbyid(u.role) END) FROM unnest(p.polroles) AS u (role)),
            'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
            'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
            'comment', pg_catalog.obj_description(p.oid, 'pg_policy')) ORDER BY p.polname)
        FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid), '[]'),
    'incoming', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', k.conname,
            'schema', rn.nspname,
            'table', r.relname,
            'oid', r.oid::text,
            'kind', r.relkind::text,
            'is_mine', pg_catalog.pg_has_role(r.relowner, 'USAGE') AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_partition_tree(r.oid) AS t
                JOIN pg_catalog.pg_class AS o ON o.oid = t.relid
                WHERE NOT pg_catalog.pg_has_role(o.relowner, 'USAGE')),
            'leaves', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                    o_n.nspname, o.relname) ORDER BY o_n.nspname, o.relname), '[]')
                FROM pg_catalog.pg_partition_tree(r.oid) AS t
                JOIN pg_catalog.pg_class AS o ON o.oid = t.relid
                JOIN pg_catalog.pg_namespace AS o_n ON o_n.oid = o.relnamespace
                WHERE t.isleaf AND r.relkind = 'p'),
            'divided_by', (SELECT COALESCE(pg_catalog.jsonb_agg(DISTINCT a.attname), '[]')
                FROM pg_catalog.pg_partition_tree(r.oid) AS t
                JOIN pg_catalog.pg_partitioned_table AS d ON d.partrelid = t.relid
                CROSS JOIN unnest(d.partattrs::smallint[]) AS u (number)
                LEFT JOIN pg_catalog.pg_attribute AS a
                    ON a.attrelid = t.relid AND a.attnum = u.number AND u.number > 0),
            'namesake', (SELECT pg_catalog.min(x.conrelid::pg_catalog.regclass::text)
                FROM pg_catalog.pg_partition_tree(r.oid) AS t
                JOIN pg_catalog.pg_constraint AS x ON x.conrelid = t.relid
                WHERE t.isleaf AND r.relkind = 'p' AND x.conname = k.conname
                    AND x.conparentid <> k.oid AND (x.contype <> 'f' OR x.conparentid = 0)),
            'owner', pg_catalog.pg_get_userbyid(r.relowner),
            'forced', r.relforcerowsecurity,
            'definition', pg_catalog.pg_get_constraintdef(k.oid),
            'validated', k.convalidated,
            'columns', (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY u.place)
                FROM unnest(k.confkey) WITH ORDINALITY AS u (number, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number),
            'own', (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY u.place)
                FROM unnest(k.conkey) WITH ORDINALITY AS u (number, place)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = u.number),
            'present', (SELECT pg_catalog.jsonb_object_agg(a.attname, a.attnotnull)
                FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped),
            'primary', (SELECT pg_catalog.jsonb_build_object(
                    'name', p.conname,
                    'columns', (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY u.place)
                        FROM unnest(p.conkey) WITH ORDINALITY AS u (number, place)
                        JOIN pg_catalog.pg_attribute AS a
                            ON a.attrelid = r.oid AND a.attnum = u.number),
                    'referred', EXISTS (SELECT FROM pg_catalog.pg_constraint AS f
                        WHERE f.conindid = p.conindid AND f.contype = 'f')
                        OR EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                        WHERE d.refclassid = 'pg_catalog.pg_constraint'::regclass
                            AND d.refobjid = p.oid AND d.deptype = 'n'))
                FROM pg_catalog.pg_constraint AS p
                WHERE p.conrelid = r.oid AND p.contype = 'p'),
            'comment', pg_catalog.obj_description(k.oid, 'pg_constraint'))
            ORDER BY rn.nspname, r.relname, k.conname)
        FROM pg_catalog.pg_constraint AS k
        JOIN pg_catalog.pg_class AS r ON r.oid = k.conrelid
        JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
        WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0), '[]'),
    'publications', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', p.pubname,
            'is_mine', pg_catalog.pg_has_role(p.pubowner, 'USAGE'),
            'via_root', p.pubviaroot,
            'all_tables', p.puballtables,
            'by_schema', EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS s
                WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace),
            'listed', e.oid IS NOT NULL,
            'others_partitioned', EXISTS (SELECT FROM pg_catalog.pg_publication_rel AS o
                JOIN pg_catalog.pg_class AS oc ON oc.oid = o.prrelid
                WHERE o.prpubid = p.oid AND oc.oid <> c.oid AND oc.relkind = 'p'),
            'columns', (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY a.attnum)
                FROM unnest(e.prattrs) AS u (number)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.number),
            'where', pg_catalog.pg_get_expr(e.prqual, e.prrelid)) ORDER BY p.pubname)
        FROM pg_catalog.pg_publication AS p
        LEFT JOIN pg_catalog.pg_publication_rel AS e ON e.prpubid = p.oid AND e.prrelid = c.oid
        WHERE e.oid IS NOT NULL OR p.puballtables OR EXISTS (
            SELECT FROM pg_catalog.pg_publication_namespace AS s
            WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)), '[]'),
    'sequences', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'schema', sn.nspname, 'name', s.relname, 'column', a.attname,
            'internal', d.deptype = 'i',
            'options', pg_catalog.format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s '
                'CACHE %s %s', q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                CASE WHEN q.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END),
            'comment', pg_catalog.obj_description(s.oid, 'pg_class'),
            'grants', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                    g.privilege_type, '', g.is_grantable,
                    CASE g.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(g.grantee) END))
                FROM pg_catalog.aclexplode(s.relacl) AS g WHERE g.grantee <> s.relowner), '[]'))
            ORDER BY s.relname)
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.oid
        JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')), '[]'),
    'statistics', COALESCE((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'schema', sn.nspname, 'name', s.stxname,
            'what', pg_catalog.substr(d.definition, 1 + d.head, pg_catalog.length(d.definition)
                - d.head - pg_catalog.length(pg_catalog.format(' FROM %I.%I', n.nspname, c.relname))),
            'target', NULLIF(COALESCE(s.stxstattarget, -1), -1),
            'comment', pg_catalog.obj_description(s.oid, 'pg_statistic_ext')) ORDER BY s.stxname)
        FROM pg_catalog.pg_statistic_ext AS s
        JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.stxnamespace
        CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) AS definition,
            pg_catalog.length(pg_catalog.format(
                'CREATE STATISTICS %I.%I ', sn.nspname, s.stxname)) AS head) AS d
        WHERE s.stxrelid = c.oid), '[]'),
    'dependents', COALESCE((
        SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_object(
            'kind', CASE WHEN v.oid IS NULL THEN 'other' ELSE v.relkind::text END,
            'schema', vn.nspname,
            'name', v.relname,
            'is_mine', v.oid IS NULL OR pg_catalog.pg_has_role(v.relowner, 'USAGE'),
            'rule', w.rulename,
            'options', COALESCE(pg_catalog.to_jsonb(v.reloptions), '[]'),
            'definition', CASE WHEN v.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(v.oid) END,
            'by_key', d.refclassid = 'pg_catalog.pg_constraint'::regclass,
            'described', pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)))
        FROM pg_catalog.pg_depend AS d
        LEFT JOIN pg_catalog.pg_rewrite AS w
            ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid
        LEFT JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class
        LEFT JOIN pg_catalog.pg_namespace AS vn ON vn.oid = v.relnamespace
        WHERE d.deptype = 'n' AND v.oid IS DISTINCT FROM c.oid
            AND NOT (d.classid = 'pg_catalog.pg_trigger'::regclass)
            AND NOT (d.classid = 'pg_catalog.pg_constraint'::regclass)
            AND NOT (d.classid = 'pg_catalog.pg_publication_rel'::regclass)
            AND NOT (d.classid = 'pg_catalog.pg_policy'::regclass AND EXISTS (
                SELECT FROM pg_catalog.pg_policy AS p WHERE p.oid = d.objid AND p.polrelid = c.oid))
            AND NOT (d.classid = 'pg_catalog.pg_attrdef'::regclass AND EXISTS (
                SELECT FROM pg_catalog.pg_attrdef AS f WHERE f.oid = d.objid AND f.adrelid = c.oid))
            AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND EXISTS (
                SELECT FROM pg_catalog.pg_class AS o WHERE o.oid = d.objid AND o.relkind IN ('i', 'I', 't')))
            AND ((d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid)
                OR (d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (
                    SELECT y.oid FROM pg_catalog.pg_type AS y
                    WHERE y.oid = c.reltype OR y.typelem = c.reltype AND c.reltype <> 0))
                OR (d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid IN (
                    SELECT k.oid FROM pg_catalog.pg_constraint AS k
                    WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u'))))), '[]')
)::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = ${oid}
