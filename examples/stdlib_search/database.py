"""
Where the demo runs: on an embedded server, or in a schema of its own on yours.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, NullPool, create_engine, event, text
from sqlalchemy.schema import CreateSchema, DropSchema

from pgultra.integrations.embedded import PrivateServer

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTOR = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"


@contextmanager
def opened(address: URL | None, *, keep: bool = False) -> Iterator[tuple[Engine, str]]:
    """
    Give an engine and a word on where it leads; nothing is left behind.

    Args:
        address: your server; None starts an embedded one in a temporary folder.
        keep: leave the schema on your server.
    """
    if address is None:
        with PrivateServer() as server:
            engine = create_engine(server.url())
            try:
                yield engine, "embedded, in a temporary folder"
            finally:
                engine.dispose()
        return
    schema = path = f"pgultra_demo_{secrets.token_hex(4)}"
    engine = create_engine(address, poolclass=NullPool)

    @event.listens_for(engine, "connect", insert=True)
    def in_our_schema(connection: Any, record: Any) -> None:  # a connection of the driver's
        before, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION search_path = {path}")
        connection.autocommit = before

    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
        home = connection.scalar(text(VECTOR))
    if home is not None:  # pgvector's types are found where your server has them
        path = f"{schema}, {home}"
    try:
        yield engine, f"yours, in the schema {schema}"
    finally:
        if not keep:
            # It was made a moment ago, under a name that nobody else has.
            with engine.begin() as connection:
                connection.execute(DropSchema(schema, cascade=True))
        engine.dispose()
