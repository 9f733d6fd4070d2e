"""
Where the example runs: on an embedded server, or in a schema of its own on yours.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.schema import CreateSchema, DropSchema

from pgultra.integrations.embedded import PrivateServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HOMES = """
SELECT DISTINCT extnamespace::regnamespace::text FROM pg_extension
WHERE extname IN ('vector', 'pgcrypto')
"""


@contextmanager
def opened(url: str | None) -> Iterator[Engine]:
    """
    Give an engine; nothing is left behind.
    """
    if url is None:
        with PrivateServer() as server:
            engine = create_engine(server.url())
            try:
                yield engine
            finally:
                engine.dispose()
        return
    schema = f"global_remit_{secrets.token_hex(4)}"
    path = [schema]
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))

    @event.listens_for(engine, "connect", insert=True)
    def in_our_schema(connection: Any, record: Any) -> None:  # a connection of the driver's
        before, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION search_path = {', '.join(path)}")
        connection.autocommit = before

    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
        path += connection.scalars(text(HOMES))  # what your extensions bring is found there
    engine.dispose()  # the connection from before knows only half of the path
    try:
        yield engine
    finally:
        # It was made a moment ago, under a name that nobody else has.
        with engine.begin() as connection:
            connection.execute(DropSchema(schema, cascade=True))
        engine.dispose()


def offers(engine: Engine, extension: str) -> bool:
    """
    Whether the server has an extension, or could create it.
    """
    with engine.connect() as connection:
        asked = text("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = :name)")
        return bool(connection.scalar(asked, {"name": extension}))
