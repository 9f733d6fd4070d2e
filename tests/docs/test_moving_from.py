"""
The pages "Moving from …", followed in a folder that has an application with the other library.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.docs.follower import Follower
from tests.docs.pages import DOCS, blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.docs.pages import Block
    from tests.fixtures.database import Database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.timeout(900),
]  # each test runs about eight programs

PAGES = DOCS / "how-to" / "moving-from"
ENV = DOCS / "tutorial" / "first-migration.md"
TABLES = """
from database import engine
from models import Base

Base.metadata.create_all(engine)
import use
"""
ENTITIES = """
from sqlalchemy.orm import Session

from database import engine
from entities import ENTITIES
from models import Base

Base.metadata.create_all(engine)
with engine.begin() as connection:
    for entity in ENTITIES:
        for statement in entity.to_sql_statement_create_or_replace():
            connection.execute(statement)
"""
VECTORS = """
from sqlalchemy import text

from database import engine

with engine.begin() as connection:
    connection.execute(text("CREATE EXTENSION vector"))
"""


@pytest.fixture
def follow(tmp_path: Path, database: Database) -> Callable[[str, str, str], None]:
    """
    Follow a page whose library is installed: first "Before", a preparation, then the steps.
    """

    def read(page: str, package: str, preparation: str) -> None:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (`nox -s peers` has it)")
        url = database.url.render_as_string(hide_password=False)
        with Follower(tmp_path) as reader:
            reader.environment |= {"DATABASE_URL": url, "OLD_KEY": "a passphrase"}
            (tmp_path / "prepare.py").write_text(preparation)
            reader.run("alembic init migrations")
            reader.follow(
                block
                for block in blocks(ENV)
                if block.options.get("caption") in {"database.py", "migrations/env.py"}
            )
            everything = list(blocks(PAGES / page))
            begin = next(n for n, block in enumerate(everything) if _is_second(everything, n))
            reader.follow(everything[:begin])
            reader.run("python prepare.py")
            reader.follow(everything[begin:])

    return read


def _is_second(everything: list[Block], number: int) -> bool:
    """
    Tell whether a block is the first of the steps: the models again, or a command.
    """
    block = everything[number]
    seen = [each.options.get("caption") for each in everything[:number]]
    return block.language == "console" or block.options.get("caption", "-") in seen


def test_sqlalchemy_utils(follow: Callable[[str, str, str], None]) -> None:
    """
    Emails that sqlalchemy-utils encrypted are sealed anew, and found.
    """
    follow("sqlalchemy-utils.md", "sqlalchemy_utils", TABLES)


def test_sqlalchemy_searchable(follow: Callable[[str, str, str], None]) -> None:
    """
    The new vector finds what the old one found, and nothing of the old one stays.
    """
    follow("sqlalchemy-searchable.md", "sqlalchemy_searchable", TABLES)


def test_sqlalchemy_easy_softdelete(follow: Callable[[str, str, str], None]) -> None:
    """
    What was deleted stays deleted, comes back, and takes its comment along from then on.
    """
    follow("sqlalchemy-easy-softdelete.md", "sqlalchemy_easy_softdelete", TABLES)


def test_alembic_utils(follow: Callable[[str, str, str], None]) -> None:
    """
    Function, trigger and view are taken over as they are.
    """
    follow("alembic-utils.md", "alembic_utils", ENTITIES)


@pytest.mark.needs("vector")
def test_pgvector(follow: Callable[[str, str, str], None]) -> None:
    """
    Column and index are taken over as they are, and the rows are found.
    """
    follow("pgvector.md", "pgvector", f"{VECTORS}\n{TABLES}")


BESIDE = """
import sys

from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic_utils.pg_materialized_view import PGMaterializedView
from alembic_utils.pg_policy import PGPolicy
from alembic_utils.replaceable_entity import register_entities
from database import engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import pgultra.integrations.alembic
from pgultra import SoftDelete


class Base(DeclarativeBase):
    pass


class Visit(SoftDelete, Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)


Base.metadata.create_all(engine)
ENTITIES = [PGMaterializedView("public", "visits", "SELECT id FROM public.visit")]
if "all" in sys.argv:
    register_entities(ENTITIES)
else:
    {block}
with engine.connect() as connection:
    context = MigrationContext.configure(connection, opts={{"include_schemas": False}})
    operations = produce_migrations(context, Base.metadata).upgrade_ops.ops
print(*sorted({{type(each).__name__ for each in operations}}))
"""


def test_alembic_utils_beside(tmp_path: Path, database: Database) -> None:
    """
    With the page's line it leaves the functions and triggers of pgultra alone; else it drops them.
    """
    if importlib.util.find_spec("alembic_utils") is None:
        pytest.skip("alembic_utils is not installed (`nox -s peers` has it)")
    (line,) = [
        block.text.strip()
        for block in blocks(PAGES / "alembic-utils.md")
        if block.text.startswith("register_entities")
    ]
    (connecting,) = [b for b in blocks(ENV) if b.options.get("caption") == "database.py"]
    (tmp_path / "database.py").write_text(connecting.text)
    (tmp_path / "beside.py").write_text(BESIDE.format(block=line))
    with Follower(tmp_path) as reader:
        reader.environment["DATABASE_URL"] = database.url.render_as_string(hide_password=False)
        assert reader.run("python beside.py") == "CreateOp\n"
        assert "DropOp" in reader.run("python beside.py all")
