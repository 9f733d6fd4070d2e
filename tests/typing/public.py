"""
Uses of every public name, checked by mypy and pyright and never run.

A room adds its uses here; what must be an error is marked with an ignore, which the
checkers report when it is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from sqlalchemy import URL

from pgultra.integrations.embedded import PrivateServer


def private_server() -> None:
    """
    The server is its own context manager, and its address is SQLAlchemy's.
    """
    with PrivateServer(Path("/opt"), settings={"jit": "off"}) as server:
        assert_type(server, PrivateServer)
        assert_type(server.url("shop", driver="asyncpg"), URL)
    PrivateServer(binaries=17)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
