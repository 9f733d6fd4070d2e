import asyncio
import os

from advanced_alchemy.config import SQLAlchemyAsyncConfig
from alembic import context

import pgultra.integrations.alembic  # noqa: F401  # it registers itself
from tests.hosts.advanced_library.models import metadata

settings = SQLAlchemyAsyncConfig(connection_string=os.environ["DATABASE_URL"])


def render_item(kind, item, autogen_context):
    """
    advanced-alchemy's types are printed by their class, which migrations must import.
    """
    if kind == "type" and type(item).__module__.startswith("advanced_alchemy."):
        autogen_context.imports.add("import advanced_alchemy.types")
        return f"advanced_alchemy.types.{item!r}"
    return False


def do_run_migrations(connection):
    context.configure(
        connection=connection, target_metadata=metadata, compare_type=True, render_item=render_item
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_migrations_online():
    engine = settings.get_engine()
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await engine.dispose()


asyncio.run(run_migrations_online())
