"""
A shop: Flask, Flask-SQLAlchemy, psycopg.
"""
