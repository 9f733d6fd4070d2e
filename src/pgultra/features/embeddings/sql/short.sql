((SELECT few FROM pgultra_few) OR (SELECT count(distance) FROM pgultra_near) < {k}) AND
