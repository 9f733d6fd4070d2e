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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each test runs a dozen programs

Headings = tuple[str, ...]
WAYS = ["to the end", "not to the end"]
PAGES = DOCS / "how-to" / "moving-from"
ENV = DOCS / "tutorial" / "first-migration.md"
SESSION = """
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import models
from database import engine
from models import Base

session = Session(engine)

def scalars(sql):
    with engine.connect() as connection:
        return connection.scalars(text(sql)).all()

def nothing_of_pgultra_is_left():
    assert scalars("SELECT description FROM pg_description WHERE description LIKE '%pgultra%'") == []
    assert scalars("SELECT proname FROM pg_proc WHERE proname LIKE 'pgultra%'") == []
"""
TABLES = """
Base.metadata.create_all(engine)
import use
"""
ENTITIES = """
from entities import ENTITIES

Base.metadata.create_all(engine)
with engine.begin() as connection:
    for entity in ENTITIES:
        for statement in entity.to_sql_statement_create_or_replace():
            connection.execute(statement)
"""
VECTORS = """
with engine.begin() as connection:
    connection.execute(text("CREATE EXTENSION vector"))
"""


@pytest.fixture
def follow(tmp_path: Path, database: Database) -> Callable[..., None]:
    """
    Follow a page whose library is installed: first "Before", a preparation, then the steps.

    Before the way back is gone, ``later`` writes more rows; ``left`` sees them at its end.
    """

    def read(
        page: str, package: str, preparation: str, later: str, left: str, without: Headings = ()
    ) -> None:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (`nox -s peers` has it)")
        url = database.url.render_as_string(hide_password=False)
        everything = list(blocks(PAGES / page))
        with Follower(tmp_path) as reader:
            reader.environment |= {"DATABASE_URL": url, "OLD_KEY": "a passphrase"}
            reader.run("alembic init migrations")
            reader.follow(
                block
                for block in blocks(ENV)
                if block.options.get("caption") in {"database.py", "migrations/env.py"}
            )
            reader.follow(block for block in everything if "Before" in block.headings)
            _run(reader, preparation)
            for section in ("Steps", "The way back"):
                parts = [
                    block
                    for block in everything
                    if section in block.headings and not set(without) & set(block.headings)
                ]
                _walk(reader, parts, everything)
                _run(reader, later if section == "Steps" else left)

    return read


def _run(reader: Follower, program: str) -> None:
    (reader.folder / "aside.py").write_text(f"{SESSION}{program}")
    reader.run("python aside.py")


def _walk(reader: Follower, parts: list[Block], everything: list[Block]) -> None:
    """
    Do what blocks say; at ``again``, put files back as they were under that heading.
    """
    steps: list[Block] = []
    for block in parts:
        if block.language != "again":
            steps.append(block)
            continue
        reader.follow(steps)
        steps = []
        again = [each for each in everything if block.text in each.headings]
        assert again, block
        reader.follow(each for each in again if "caption" in each.options)
    reader.follow(steps)


@pytest.mark.once
@pytest.mark.parametrize("without", [(), ("3. The new column alone", "After step 3")], ids=WAYS)
def test_sqlalchemy_utils(follow: Callable[..., None], without: Headings) -> None:
    """
    Emails that sqlalchemy-utils encrypted are sealed anew and found, and opened by it again.
    """
    later = """
session.add(models.Person(email="bob@example.com"))
session.commit()
"""
    left = """
found = session.scalars(select(models.Person.email)).all()
assert sorted(map(str, found)) == ["None", "ann@example.com", "bob@example.com"]
nothing_of_pgultra_is_left()
"""
    follow("sqlalchemy-utils.md", "sqlalchemy_utils", TABLES, later, left, without)


@pytest.mark.once
@pytest.mark.parametrize("without", [(), ("3. The new vector alone", "After step 3")], ids=WAYS)
def test_sqlalchemy_searchable(follow: Callable[..., None], without: Headings) -> None:
    """
    The new vector finds what the old one found, and afterwards the old one finds it all.
    """
    later = """
session.add(models.Article(title="A roll", body="Later"))
session.commit()
"""
    left = """
session.add(models.Article(title="Last", body="Another loaf"))
session.commit()
found = "SELECT title FROM article WHERE search_vector @@ 'loaf' ORDER BY id"
assert scalars(found) == ["Baking bread", "Last"]
vector = "SELECT search_vector::text FROM article WHERE title = 'A roll'"
assert scalars(vector) == ["'later':3B 'roll':2A"]
nothing_of_pgultra_is_left()
"""
    follow("sqlalchemy-searchable.md", "sqlalchemy_searchable", TABLES, later, left, without)


def test_sqlalchemy_easy_softdelete(follow: Callable[..., None]) -> None:
    """
    What was deleted stays deleted, comes back, and takes its comment along; and keeps its marks.

    It wants SQLAlchemy below 2.1, so that no cell but that of PostgreSQL 15 can have it.
    """
    later = """
new = session.scalars(select(models.Article)).one()
new.comments += [models.Comment(), models.Comment()]
session.commit()
session.delete(new.comments[0])
session.commit()
"""
    left = """
marked = "SELECT deleted_at IS NOT NULL FROM "
assert scalars(marked + "article ORDER BY slug") == [False, True]
assert scalars(marked + "comment ORDER BY id") == [True, True, False]
session.execute(text("DELETE FROM comment"))
nothing_of_pgultra_is_left()
"""
    follow("sqlalchemy-easy-softdelete.md", "sqlalchemy_easy_softdelete", TABLES, later, left)


@pytest.mark.once
def test_alembic_utils(follow: Callable[..., None]) -> None:
    """
    Function, trigger and view are taken over as they are, and handed back to be changed.
    """
    later = """
session.add(models.Visit())
session.commit()
session.execute(text("UPDATE visit SET id = id"))
session.commit()
assert scalars("SELECT id FROM seen_visits") == [1]
"""
    left = """
import subprocess
from pathlib import Path

assert scalars("SELECT id FROM seen_visits") == [1]
entities = Path("entities.py")
entities.write_text(entities.read_text().replace("SELECT id FROM", "SELECT id, seen FROM"))
for command in ("revision --autogenerate -m changed", "upgrade head", "check"):
    subprocess.run(["alembic", *command.split()], check=True)
assert scalars("SELECT seen < now() FROM seen_visits") == [True]
"""
    follow("alembic-utils.md", "alembic_utils", ENTITIES, later, left)


@pytest.mark.once
@pytest.mark.needs("vector")
def test_pgvector(follow: Callable[..., None]) -> None:
    """
    Column and index are taken over as they are, the rows are found, and the index handed back.
    """
    later = """
session.add(models.Article(title="z", embedding=[0, 0, 1]))
session.commit()
"""
    left = """
rows = session.execute(select(models.Article.title, models.Article.embedding)).all()
assert {title: list(vector) for title, vector in rows}["z"] == [0, 0, 1]
nothing_of_pgultra_is_left()
"""
    follow("pgvector.md", "pgvector", f"{VECTORS}\n{TABLES}", later, left)


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


@pytest.mark.once
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
