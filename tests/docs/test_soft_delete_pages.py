"""
The how-to pages of soft delete, block by block.
"""

from __future__ import annotations

import re
import textwrap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import soft_delete
from tests.docs.follower import Follower
from tests.docs.running import PRELUDE, commands_of, host, python_of, run, sql_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.alembic import MigrationEnvironment

BLOG = """
class Article(SoftDelete, Base):
    __tablename__ = "article"
    __table_args__ = (soft_delete.unique_live("slug"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    title: Mapped[str] = mapped_column(default="")
    author_id: Mapped[int] = mapped_column(default=7)
    comments: Mapped[list["Comment"]] = relationship(cascade="all, delete-orphan")

class Comment(SoftDelete, Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
"""

NOT_NULL = re.compile(r"^    op\.alter_column\(.*?\)\n(?=    \S)", re.MULTILINE | re.DOTALL)
REMARKS = """
Article.updated_at = mapped_column(DateTime(timezone=True), nullable=True)

class Comment(SoftDelete, Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))
    article: Mapped[Article] = relationship(backref=sa.orm.backref("all", cascade="all"))
"""


@pytest.fixture
def blog(engine: sa.Engine) -> Iterator[dict[str, Any]]:
    """
    A blog with one article of two comments, and a session.
    """
    names = host(engine=engine, user=SimpleNamespace(name="ann"))
    run(BLOG, names)
    names["Base"].metadata.create_all(engine)
    with Session(engine) as session:
        article = names["Article"](slug="hello", comments=[names["Comment"]() for _ in "ab"])
        session.add(article)
        session.commit()
        yield names | {"session": session, "article": article}


def live(names: dict[str, Any], kind: str) -> int:
    """
    Count the live rows of a class.
    """
    counted: int = names["session"].scalar(sa.select(sa.func.count(names[kind].id)))
    return counted


def test_soft_delete_with_cascade(blog: dict[str, Any]) -> None:
    """
    The page's classes, deletions, upsert, and the raw SQL.
    """
    page = python_of("how-to/soft-delete-with-cascade")
    fresh = host()
    run(page[0], fresh)
    assert set(fresh["Base"].metadata.tables) == {"article", "comment"}

    blog["session"].begin_nested()
    run(page[1], blog)
    assert (live(blog, "Article"), live(blog, "Comment")) == (0, 0)
    run("soft_delete.restore(session, article); session.commit()", blog)
    blog["article"] = blog["session"].get_one(blog["Article"], 1)
    run(page[2], blog)
    assert (live(blog, "Article"), live(blog, "Comment")) == (0, 0)
    row = sa.text("SELECT DISTINCT deleted_by FROM comment")
    assert blog["session"].scalars(row).all() == ["ann"]

    run(f"{page[4]}\nsession.execute(statement)", blog)
    assert live(blog, "Article") == 1
    run(f"{page[4]}\nsession.execute(statement)", blog)
    assert live(blog, "Article") == 1
    blog["session"].commit()
    (script,) = sql_of("how-to/soft-delete-with-cascade")
    with blog["engine"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in script.strip().split(";\n"):
            connection.exec_driver_sql(statement)


def test_core_tables(engine: sa.Engine) -> None:
    """
    Two tables of Core: a marked article takes its comment along.
    """
    names = host(engine=engine)
    metadata = sa.MetaData()
    names["article"] = sa.Table(
        "article",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.Text),
    )
    names["comment"] = sa.Table(
        "comment",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("article_id", sa.ForeignKey("article.id")),
    )
    block = python_of("how-to/soft-delete-with-cascade")[3]
    declaring, _, using = block.rpartition("\n\n")
    run(declaring, names)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(names["article"]), {"id": 7, "slug": "x"})
        connection.execute(sa.insert(names["comment"]), {"id": 1, "article_id": 7})
        run(using, names | {"connection": connection})
        alive = sa.select(names["comment"]).where(soft_delete.alive(names["comment"]))
        assert connection.execute(alive).all() == []


def test_restore_and_purge(blog: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """
    Restore, a conflict with its message, removal for good, purge, and audit.
    """
    page = "how-to/restore-and-purge"
    restore, conflict, hard, purge, audit = python_of(page)
    session, article = blog["session"], blog["Article"]
    session.delete(blog["article"])
    session.commit()
    run(restore, blog)
    assert (live(blog, "Article"), live(blog, "Comment")) == (1, 2)

    session.delete(blog["article"])
    session.commit()
    session.add(article(id=4, slug="hello"))
    session.commit()
    run(
        f"article = session.scalars(soft_delete.only_deleted(select(Article))).one()\n{conflict}",
        blog,
    )
    assert capsys.readouterr().out == text_of(page)[0]

    run(hard, blog | {"person": session.get_one(article, 4)})
    assert live(blog, "Article") == 0
    session.execute(sa.text("UPDATE article SET deleted_at = now() - interval '1 year'"))
    session.execute(sa.text("UPDATE comment SET deleted_at = now() - interval '1 year'"))
    session.commit()
    run(purge, blog)
    assert capsys.readouterr().out == "3 0\n"
    run(audit, blog)
    assert capsys.readouterr().out == ""


def test_the_sql_of_removing(blog: dict[str, Any]) -> None:
    """
    The statements that remove a row for good, children first.
    """
    blog["session"].commit()
    (script,) = sql_of("how-to/restore-and-purge")
    with blog["engine"].connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in script.replace("= 7", "= 1").strip().split(";\n"):
            connection.exec_driver_sql(statement)
    assert (live(blog, "Article"), live(blog, "Comment")) == (0, 0)


def test_add_soft_delete_to_a_big_table(
    alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    Indexes are built concurrently, and the page's SQL finds what they would refuse.
    """
    (model,) = python_of("how-to/add-soft-delete-to-a-big-table")
    columns = "    id: Mapped[int] = mapped_column(primary_key=True)\n    slug: Mapped[str]\n"
    beginning = (
        "from sqlalchemy.orm import *\nfrom pgultra import *\nclass Base(DeclarativeBase): pass\n"
    )
    plain = 'class Article(Base):\n    __tablename__ = "article"\n'
    alembic_env.write_models(f"{beginning}{plain}{columns}")
    alembic_env.autogenerate("articles")
    alembic_env.upgrade()
    alembic_env.write_models(f"{beginning}{model}{columns}")
    assert "CONCURRENTLY" in alembic_env.autogenerate("soft delete").text.upper()
    finding, filling = sql_of("how-to/add-soft-delete-to-a-big-table")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO article (slug) VALUES ('a'), ('b')")
        assert connection.exec_driver_sql(finding).all() == []
    alembic_env.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE article SET deleted_at = now() WHERE slug = 'a'")
        connection.exec_driver_sql(filling)
    assert alembic_env.check() == []


@pytest.mark.slow
def test_adopt_existing_deleted_at(
    alembic_env: MigrationEnvironment, engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A table with a flag and nothing else is migrated with the page's statements where it puts them.
    """
    page = "how-to/adopt-existing-deleted-at"
    model, filling, deletions, audit = python_of(page)
    alembic_env.write_models(f"{PRELUDE}{model}{REMARKS}")
    script = """
        CREATE TABLE article (id serial PRIMARY KEY, is_deleted boolean DEFAULT false,
            updated_at timestamptz);
        CREATE TABLE comment (id serial PRIMARY KEY, article_id int NOT NULL REFERENCES article,
            deleted_at timestamptz, deleted_by text);
        INSERT INTO article VALUES (1, true, '2026-01-01'), (2, NULL, '2026-01-01');
        INSERT INTO comment VALUES (1, 1, '2026-01-01'), (2, 1, NULL);
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(script)
    with Follower(alembic_env.folder) as reader:
        reader.follow(commands_of(page), silent=False)
    (migration,) = (alembic_env.folder / "versions").glob("*_soft_delete_by_pgultra.py")
    upgrade, downgrade = migration.read_text().split("def downgrade")
    (alter,) = NOT_NULL.findall(upgrade)
    upgrade = upgrade.replace(alter, "")
    after = upgrade.index("\n", upgrade.rindex("op.add_column(")) + 1
    filled = textwrap.indent(filling + deletions, "    ") + alter
    migration.write_text(f"{upgrade[:after]}{filled}{upgrade[after:]}def downgrade{downgrade}")
    alembic_env.upgrade()
    assert alembic_env.check() == []
    names = host(engine=engine)
    run(f"{model}{REMARKS}", names)
    run(audit, names)
    assert capsys.readouterr().out == text_of(page)[0]
    with engine.begin() as connection:
        for statement in sql_of(page):
            connection.exec_driver_sql(statement)
    run(audit, names)
    assert capsys.readouterr().out == ""


def test_the_actor(blog: dict[str, Any]) -> None:
    """
    The reference's way to say who deletes.
    """
    (block,) = python_of("reference/soft_delete")
    run(f"{block}\nsession.delete(article)\nsession.commit()", blog)
    who = blog["session"].scalar(sa.text("SELECT deleted_by FROM article"))
    assert who == "ann"
