from alembic import context

import pgultra.integrations.alembic  # noqa: F401  # it registers itself
from tests.hosts.flask_shop.app import create_app
from tests.hosts.flask_shop.models import db

with create_app().app_context():
    with db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata)
        with context.begin_transaction():
            context.run_migrations()
    db.engine.dispose()
