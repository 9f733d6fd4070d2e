(SELECT count(distance) FROM pgultra_near) < {k} AND
