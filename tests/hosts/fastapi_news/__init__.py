"""
A newspaper: FastAPI, AsyncSession, asyncpg.
"""
