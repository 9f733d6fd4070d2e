"""
The session that this room's tests share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from tests.features.encryption.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


@pytest.fixture
def session(connection: sa.Connection) -> Iterator[Session]:
    """
    A session in the shared database, with the tables of ``models``.
    """
    Base.metadata.create_all(connection)
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        yield session
