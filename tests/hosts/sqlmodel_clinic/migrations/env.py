import os

from alembic import context
from sqlmodel import SQLModel, create_engine

import pgultra.integrations.alembic  # noqa: F401  # it registers itself
import tests.hosts.sqlmodel_clinic.models  # noqa: F401  # it registers itself


def render_item(kind, item, autogen_context):
    """
    Migrations name SQLModel's types, and must import them.
    """
    autogen_context.imports.add("import sqlmodel")
    return False


engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
