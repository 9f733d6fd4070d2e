-- So many nearest with a vector are there. EXISTS with OFFSET: planned quicker than a count.
EXISTS (SELECT FROM pgultra_near WHERE distance IS NOT NULL OFFSET {k} - 1)
