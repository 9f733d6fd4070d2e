"""
The conversion of a table that exists: one file for each thing it needs to know or do.
"""
