"""
Where the example runs: on an embedded server, or in a schema of its own on yours.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

from pgultra.integrations.embedded import PrivateServer

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    schema = f"sparkle_universe_{secrets.token_hex(4)}"
    address: URL = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(address, connect_args={"options": f"-csearch_path={schema}"})
    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
    try:
        yield engine
    finally:
        # It was made a moment ago, under a name that nobody else has.
        with engine.begin() as connection:
            connection.execute(DropSchema(schema, cascade=True))
        engine.dispose()
