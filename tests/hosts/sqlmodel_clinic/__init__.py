"""
A clinic: SQLModel, psycopg.
"""
