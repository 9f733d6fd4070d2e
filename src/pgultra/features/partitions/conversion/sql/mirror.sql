#variable_conflict use_column
-- Brings the other table to what this one holds now under the keys that a row had and has.
-- It copies what is there, never what the event says: a trigger may have changed the row since.
DECLARE
    k ${source}%ROWTYPE;
BEGIN
${probe}    IF TG_OP = 'UPDATE' AND NOT (${moved}) THEN
        UPDATE ${target} AS t SET ${assigned} FROM ${source} AS s
        WHERE ${s_new} AND ${t_old}
            AND NOT EXISTS (SELECT FROM ${target} AS x WHERE ${x_new})
            AND NOT EXISTS (SELECT FROM ${source} AS y WHERE ${y_old});
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    FOR turn IN 1..2 LOOP
        IF turn = 1 THEN
            CONTINUE WHEN TG_OP = 'INSERT';
            k := OLD;
        ELSE
            EXIT WHEN TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND ${moved});
            k := NEW;
        END IF;
        IF TG_OP = 'UPDATE' THEN
            UPDATE ${target} AS t SET ${assigned} FROM ${source} AS s WHERE ${s_k} AND ${t_k};
            CONTINUE WHEN FOUND;
        ELSIF TG_OP = 'DELETE' THEN
            DELETE FROM ${target} AS t
            WHERE ${t_k} AND NOT EXISTS (SELECT FROM ${source} AS s WHERE ${s_k});
            CONTINUE WHEN FOUND;
        END IF;
        INSERT INTO ${target} (${columns}) OVERRIDING SYSTEM VALUE
        SELECT ${s_columns} FROM ${source} AS s
        WHERE ${s_k} AND NOT EXISTS (SELECT FROM ${target} AS t WHERE ${t_k});
        CONTINUE WHEN FOUND;
        UPDATE ${target} AS t SET ${assigned} FROM ${source} AS s WHERE ${s_k} AND ${t_k};
        CONTINUE WHEN FOUND;
        DELETE FROM ${target} AS t
        WHERE ${t_k} AND NOT EXISTS (SELECT FROM ${source} AS s WHERE ${s_k});
    END LOOP;
    RETURN NULL;
END
