"""
A library: advanced-alchemy's bases, repositories and services, asyncpg.
"""
