-- Keeps flag and timestamp of one row equal: the timestamp decides if it was written, else the flag.
--
-- The columns stand here under their usual names; a table with other names has a function of its own.
BEGIN
    IF NEW.deleted_at IS NOT DISTINCT FROM OLD.deleted_at THEN
        IF NEW.is_deleted AND NEW.deleted_at IS NULL THEN
            NEW.deleted_at := pg_catalog.now();
        ELSIF NOT NEW.is_deleted AND OLD.is_deleted IS DISTINCT FROM false THEN
            NEW.deleted_at := NULL;
        END IF;
    END IF;
    NEW.is_deleted := NEW.deleted_at IS NOT NULL;
    RETURN NEW;
END
