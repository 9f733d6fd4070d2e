"""
What a host stands on: a database, its environment variables, its Alembic folder and commands.
"""

from __future__ import annotations

import base64
import importlib
import io
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic
import pytest
from alembic import command
from alembic.config import Config
from packaging.requirements import Requirement
from typer.testing import CliRunner

from pgultra import TSVectorType, VectorType, embeddings, search
from pgultra.integrations.cli.app import app
from tests.fixtures.database import clone
from tests.fixtures.requirements import has, lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import sqlalchemy as sa

    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

HERE = Path(__file__).parent
KEYS = "1:" + base64.b64encode(bytes(range(32))).decode()
FIRST = "0001"
"""The migration of every host that is older than its rooms."""


@dataclass(frozen=True)
class Application:
    """
    A host as its README would describe it.

    Attributes:
        name: of its folder.
        driver: what its database URL says.
        models: where its tables are, for ``pgultra check``.
        needs: the packages that it is built on.
    """

    name: str
    driver: str = "psycopg"
    models: str = "models:Base"
    needs: tuple[str, ...] = ()

    def insist(self, config: pytest.Config) -> None:
        """
        Skip the test where a package of it is lacking, or wants another SQLAlchemy.
        """
        for package in self.needs:
            try:
                lines = requires(package) or []
            except PackageNotFoundError:
                lacking(config, f"{package} is not installed: pip install 'pgultra[dev]'")
            for each in map(Requirement, lines):
                if each.name.lower() == "sqlalchemy" and not each.extras and each.marker is None:
                    installed = version("sqlalchemy")
                    if not each.specifier.contains(installed, prereleases=True):
                        pytest.skip(
                            f"{package} {version(package)} wants {each}, here is {installed}"
                        )


APPLICATIONS = {
    each.name: each
    for each in (
        Application("fastapi_news", "asyncpg", needs=("fastapi",)),
        Application("flask_shop", models="models:db", needs=("flask-sqlalchemy",)),
        Application("sqlmodel_clinic", models="models:SQLModel", needs=("sqlmodel",)),
        Application("advanced_library", "asyncpg", "models:metadata", needs=("advanced-alchemy",)),
        Application("two_schemas"),
        Application("core_sensors", models="tables:metadata"),
    )
}


class Host:
    """
    One application on a database of its own.

    Args:
        application: which one.
        database: an empty one.
        folder: for a copy of its Alembic folder, where new migrations are written.
    """

    def __init__(self, application: Application, database: Database, folder: Path) -> None:
        self.application = application
        self.database = database
        self.folder = HERE / application.name
        self.url = database.url.set(drivername=f"postgresql+{application.driver}")
        self.migrations = folder / "migrations"
        template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
        shutil.copytree(self.folder / "migrations", self.migrations)
        # The whole process has the door once one host has opened it.
        assert "\nimport pgultra.integrations.alembic" in (self.migrations / "env.py").read_text()
        if not (self.migrations / "script.py.mako").exists():
            shutil.copy(template, self.migrations)

    @property
    def environment(self) -> dict[str, str]:
        """
        The variables that the application reads.
        """
        return {
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "APP_PII_KEYS": KEYS,
            "SEMANTIC_SEARCH": "on" if has(self.database.server, "vector") else "off",
        }

    def module(self, name: str) -> ModuleType:
        """
        One of the application's modules.
        """
        return importlib.import_module(f"tests.hosts.{self.application.name}.{name}")

    def engine(self) -> sa.Engine:
        """
        A look from outside: an engine with psycopg, whatever the application uses.
        """
        return self.database.engine()

    def upgrade(self, revision: str = "head") -> None:
        """
        ``alembic upgrade``.
        """
        command.upgrade(self._config(), revision)

    def downgrade(self, revision: str) -> None:
        """
        ``alembic downgrade``.
        """
        command.downgrade(self._config(), revision)

    def revision(self, message: str) -> str:
        """
        ``alembic revision --autogenerate``: the text of the migration.
        """
        script = command.revision(self._config(), message, autogenerate=True)
        assert script is not None
        assert not isinstance(script, list)
        return Path(script.path).read_text()

    def check(self) -> None:
        """
        ``alembic check``, which raises if something is left to be done.
        """
        command.check(self._config())

    def pgultra_check(self) -> Any:  # typer's Result
        """
        ``pgultra check``.
        """
        path = f"{__package__}.{self.application.name}.{self.application.models}"
        arguments = ["check", path, "--url", self.database.url.render_as_string(False)]
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    def fill(self) -> None:
        """
        What the docs say to do after the migration, for rows that were there before.
        """
        module, name = self.application.models.split(":")
        base = getattr(self.module(module), name)
        tables = getattr(base, "metadata", base).tables.values()
        columns = [column for table in tables for column in table.columns]
        with self.engine().connect() as connection:
            for column in columns:
                if isinstance(column.type, TSVectorType):
                    search.backfill(connection, column)  # commits its batches
        with self.engine().begin() as connection:
            for column in columns:
                if isinstance(column.type, VectorType) and column.type.source:
                    embeddings.backfill(connection, column)

    def old_rows(self) -> None:
        """
        Write the rows that were there before the rooms.
        """
        with self.engine().begin() as connection:
            connection.exec_driver_sql((self.folder / "before.sql").read_text())

    def _config(self) -> Config:
        config = Config(self.folder / "alembic.ini", stdout=io.StringIO())
        config.set_main_option("script_location", str(self.migrations))
        return config


@contextmanager
def staged(
    name: str, config: pytest.Config, server: Server, template: str, folder: Path
) -> Iterator[Host]:
    """
    Put an application on a fresh database for the length of a block.
    """
    application = APPLICATIONS[name]
    application.insist(config)
    with clone(server, template) as database, pytest.MonkeyPatch.context() as patch:
        host = Host(application, database, folder)
        for variable, value in host.environment.items():
            patch.setenv(variable, value)
        yield host
