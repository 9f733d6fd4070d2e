"""
A database that holds the sample's tables, copied for each test that wants it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool
from sqlalchemy.orm import Session

from tests.features.soft_delete.sample import BLOG
from tests.fixtures.database import Database, clone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.server import Server


@pytest.fixture(scope="session")
def blog_template(server: Server, template: str) -> Iterator[str]:
    """
    The name of a database with the sample's tables, empty.
    """
    with clone(server, template) as database:
        engine = database.engine(poolclass=NullPool)
        BLOG.Base.metadata.create_all(engine)
        yield database.name


@pytest.fixture
def blog(server: Server, blog_template: str) -> Iterator[Database]:
    """
    A fresh database with the sample's tables.
    """
    with clone(server, blog_template) as database:
        yield database


@pytest.fixture
def session(blog: Database) -> Iterator[Session]:
    """
    A session on a fresh copy of the sample.
    """
    with Session(blog.engine()) as session:
        yield session
