    -- Keys are passed on as text: in a style that loses nothing and that every style reads.
    styles := ARRAY[
        pg_catalog.current_setting('DateStyle'), pg_catalog.current_setting('extra_float_digits')
    ];
    IF styles[1] NOT LIKE 'ISO%' THEN
        PERFORM pg_catalog.set_config('DateStyle', 'ISO', true);
    END IF;
    IF styles[2]::integer < 1 THEN
        PERFORM pg_catalog.set_config('extra_float_digits', '1', true);
    END IF;
