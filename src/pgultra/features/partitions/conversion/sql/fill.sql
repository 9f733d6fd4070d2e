#variable_conflict use_column
-- A row of a table that refers to this one gets the columns that its reference lacks. The lock
-- keeps the row that is referred to as it is until the reference can be seen.
DECLARE
    found_row record;
BEGIN
    IF TG_OP = 'UPDATE' AND NOT (${moved}) AND NOT (${unfilled}) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND (${let_go}) THEN -- as ON DELETE SET NULL will do with all columns
        ${emptied}
        RETURN NEW;
    END IF;
    SELECT ${theirs} INTO found_row FROM ${table} AS t WHERE ${same} ${lock} OF t;
    IF FOUND THEN
        ${given}
    END IF;
    RETURN NEW;
END
