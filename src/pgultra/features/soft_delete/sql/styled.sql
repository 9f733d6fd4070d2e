    -- The host's triggers find the styles of the caller.
    IF styles[1] NOT LIKE 'ISO%' THEN
        PERFORM pg_catalog.set_config('DateStyle', styles[1], true);
    END IF;
    IF styles[2]::integer < 1 THEN
        PERFORM pg_catalog.set_config('extra_float_digits', styles[2], true);
    END IF;
