import os

from alembic import context
from sqlalchemy import create_engine

import pgultra.integrations.alembic  # noqa: F401  # it registers itself
from tests.hosts.core_sensors.tables import metadata

engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
