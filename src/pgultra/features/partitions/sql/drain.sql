BEGIN
    IF TG_OP <> 'INSERT' AND ($old_inside) THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            -- an old snapshot may not see the copy of the row: this makes it say so
            INSERT INTO $staged ($columns) VALUES ($old_values)
            ON CONFLICT ($key) DO UPDATE SET $touch;
        END IF;
        DELETE FROM $staged AS s WHERE $same_as_old;
    END IF;
    IF TG_OP <> 'DELETE' AND ($new_inside) THEN
        INSERT INTO $staged ($columns) VALUES ($new_values);
    END IF;
    RETURN NULL;
END
