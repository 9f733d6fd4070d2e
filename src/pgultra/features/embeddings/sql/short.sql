((SELECT few FROM pgultra_few) OR (SELECT count(*) FROM pgultra_near) < {k}) AND
