"""
An old ERP: two schemas, names in mixed case, psycopg.
"""
