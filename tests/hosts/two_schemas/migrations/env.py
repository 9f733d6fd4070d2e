import os

from alembic import context
from sqlalchemy import create_engine

import pgultra.integrations.alembic  # noqa: F401  # it registers itself
from tests.hosts.two_schemas.models import Base


def include_name(name, type_, parent_names):
    return type_ != "schema" or name in ("CRM", "Sales")


engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_schemas=True,
        include_name=include_name,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
