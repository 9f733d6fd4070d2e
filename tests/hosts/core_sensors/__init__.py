"""
A weather service without an ORM: plain Core, Table objects, psycopg.
"""
