    IF TG_OP <> 'INSERT' AND pg_catalog.current_setting('transaction_isolation')
            OPERATOR(pg_catalog.<>) 'read committed' THEN
        -- Does the copy hold a row that this older snapshot cannot see? Then 40001: try again.
        INSERT INTO ${target} (${columns}) OVERRIDING SYSTEM VALUE
        VALUES (${old_columns}) ON CONFLICT (${key}) DO NOTHING;
    END IF;
