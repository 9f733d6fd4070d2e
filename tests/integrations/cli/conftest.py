"""
A host's models in a file, and the command line in this process.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pgultra.integrations.cli.app import app
from tests.plan.visits import visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import sqlalchemy as sa
    from typer.testing import Result

    from tests.fixtures.database import Database

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.plan.visits import visits

metadata = visits()
empty = sa.MetaData()
both = [metadata, empty]
number = 42


class Base(DeclarativeBase):
    metadata = metadata


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """
    `run("check", "app.py:Base")`: a command in this process, without PGULTRA_URL.
    """
    for name in ("PGULTRA_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)

    return invoke


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A file with models; what the command line puts on the Python path is taken off again.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    path = tmp_path / "host_models.py"
    path.write_text(MODELS)
    yield path
    for name in set(sys.modules) - known:
        if name.startswith("host_"):
            del sys.modules[name]


@pytest.fixture
def url(database: Database) -> str:
    """
    The address of the fresh database, without a driver, as other programs have it.
    """
    return database.dsn


@pytest.fixture
def made(engine: sa.Engine) -> sa.MetaData:
    """
    The same models, created in the fresh database.
    """
    metadata = visits()
    metadata.create_all(engine)
    return metadata
