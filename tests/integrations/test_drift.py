"""
Drift as a host meets it: changed by hand, reported by ``pgultra check``, repaired by Alembic.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from pgultra.integrations.cli.app import app
from pgultra.plan import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

MODELS = """
import sqlalchemy as sa
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra import Function, SoftDelete, SoftDeleteOptions, Trigger, View, declare, soft_delete


class Base(DeclarativeBase):
    pass


class Article(SoftDelete, Base):
    __tablename__ = "article"
    __soft_delete__ = SoftDeleteOptions(flag="is_deleted", view=True)
    __table_args__ = (soft_delete.unique_live("slug"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    comments: Mapped[list["Comment"]] = relationship(cascade="all")


class Comment(SoftDelete, Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("article.id"))


declare(
    Base,
    Function(
        name="shout",
        arguments="word text",
        returns="text",
        body="begin return upper(word); end",
        volatility="immutable",
        settings=(("search_path", "pg_catalog, pg_temp"),),
    ),
    Function(name="touch", body="begin new.slug := lower(new.slug); return new; end"),
    Trigger(
        name="lower_slug", table="article", timing="BEFORE", events=("INSERT", "UPDATE"),
        when="new.slug <> lower(new.slug)", function="touch",
    ),
    View(name="slugs", query=select(Article.id, Article.slug).where(Article.id > 5)),
    View(name="slugs_of_slugs", query="SELECT slug FROM slugs"),
)
"""

DRIFT = {
    "trigger dropped": ("DROP TRIGGER lower_slug ON article", "trigger lower_slug on article"),
    "trigger disabled": (
        "ALTER TABLE article DISABLE TRIGGER article_soft_delete_guard",
        "trigger article_soft_delete_guard on article",
    ),
    "all triggers disabled": (
        "ALTER TABLE comment DISABLE TRIGGER USER",
        "trigger comment_soft_delete_stamp on comment",
    ),
    "trigger altered": (
        (
            "CREATE OR REPLACE TRIGGER lower_slug BEFORE INSERT ON article FOR EACH ROW"
            " WHEN (new.slug <> lower(new.slug)) EXECUTE FUNCTION touch()"
        ),
        "trigger lower_slug on article",
    ),
    "trigger condition altered": (
        (
            "CREATE OR REPLACE TRIGGER lower_slug BEFORE INSERT OR UPDATE ON article FOR EACH ROW"
            " WHEN (new.slug <> upper(new.slug)) EXECUTE FUNCTION touch()"
        ),
        "trigger lower_slug on article",
    ),
    "function body edited": (
        (
            "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql"
            " AS 'begin return new; end'"
        ),
        "function touch()",
    ),
    "search_path changed": (
        "ALTER FUNCTION shout(text) SET search_path = public",
        "function shout(word text)",
    ),
    "search_path removed": ("ALTER FUNCTION shout(text) RESET ALL", "function shout(word text)"),
    "volatility changed": ("ALTER FUNCTION shout(text) STABLE", "function shout(word text)"),
    "security changed": (
        "ALTER FUNCTION shout(text) SECURITY DEFINER",
        "function shout(word text)",
    ),
    "view replaced": (
        "CREATE OR REPLACE VIEW slugs AS SELECT id, slug FROM article WHERE id > 6",
        "view slugs",
    ),
    "view with other columns": (
        "CREATE OR REPLACE VIEW slugs AS SELECT id, slug, deleted_at FROM article WHERE id > 5",
        "view slugs",
    ),
    "view option reset": ("ALTER VIEW article_live RESET (security_invoker)", "view article_live"),
    "index dropped": ("DROP INDEX article_live_slug_key", "index article_live_slug_key on article"),
    "index replaced": (
        (
            "DROP INDEX article_live_slug_key;"
            "CREATE UNIQUE INDEX article_live_slug_key ON article (slug)"
        ),
        None,  # it lost its mark, so it is in the way
    ),
    "mark of a view removed": ("COMMENT ON VIEW slugs IS NULL", "view slugs"),
    "mark of a function removed": ("COMMENT ON FUNCTION touch() IS 'mine'", "function touch()"),
    "mark of a trigger removed": (
        "COMMENT ON TRIGGER lower_slug ON article IS ''",
        "trigger lower_slug on article",
    ),
}

NO_DRIFT = {
    "a foreign trigger on our table": (
        "CREATE TRIGGER foreigner BEFORE DELETE ON article FOR EACH ROW EXECUTE FUNCTION touch()"
    ),
    "a foreign view and function": (
        "CREATE VIEW foreigner AS SELECT * FROM article;"
        "CREATE FUNCTION shout(number int) RETURNS int LANGUAGE sql AS 'SELECT number'"
    ),
    "a user's own comment above the mark": (
        "DO $$ BEGIN EXECUTE format('COMMENT ON VIEW slugs IS %%L',"
        " 'mine' || E'\\n' || obj_description('slugs'::regclass)); END $$;"
        "COMMENT ON FUNCTION touch() IS E'mine\\npgultra:default:declared'"
    ),
    "another owner and grants": (
        "GRANT SELECT ON slugs TO pg_monitor; GRANT EXECUTE ON FUNCTION touch() TO pg_monitor"
    ),
    "a server that prints views in another way": (
        "DO $$ BEGIN EXECUTE format('COMMENT ON VIEW slugs IS %%L', regexp_replace("
        "obj_description('slugs'::regclass), ':[0-9a-f]+$', ':0123456789ab')); END $$"
    ),
}


@pytest.fixture
def migrated(alembic_env: MigrationEnvironment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    The models' file, with the first migration done.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = alembic_env.write_models(MODELS)
    alembic_env.autogenerate()
    alembic_env.upgrade()
    sys.modules.pop("models", None)
    yield path
    sys.modules.pop("models", None)


@pytest.fixture
def report(migrated: Path, database: Database) -> Callable[[], dict[str, Any]]:
    """
    What `pgultra check --json` says, with its exit code beside it.
    """

    def run() -> dict[str, Any]:
        arguments = ["check", f"{migrated}:Base", "--url", database.dsn, "--json"]
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        return {**json.loads(result.output), "exit": result.exit_code}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("what", DRIFT)
def test_drift_is_reported_and_repaired(
    what: str,
    report: Callable[[], dict[str, Any]],
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
) -> None:
    """
    `pgultra check` exits 1 and names the object; one migration later it exits 0.
    """
    assert report() == {
        "exit": 0,
        "drift": False,
        "steps": [],
        "conflicts": [],
        "weaker": [],
        "extensions": [],
    }
    statement, expected = DRIFT[what]
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    found = report()
    assert found["exit"] == 1
    if expected is None:
        assert len(found["conflicts"]) == 1
        return
    names = {
        f"{step['kind']} {step['name']}" + (f" on {step['table']}" if step["table"] else "")
        for step in found["steps"]
    }
    assert expected in names
    assert not found["conflicts"]
    alembic_env.autogenerate("repair")
    alembic_env.upgrade()
    assert report()["exit"] == 0
    assert alembic_env.check() == []


@pytest.mark.slow
@pytest.mark.parametrize("what", NO_DRIFT)
def test_what_is_not_drift(
    what: str,
    report: Callable[[], dict[str, Any]],
    alembic_env: MigrationEnvironment,
    engine: sa.Engine,
) -> None:
    """
    What is a host's own business is neither reported nor touched.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(NO_DRIFT[what])
    assert report()["exit"] == 0
    assert alembic_env.check() == []


@pytest.mark.parametrize("path", ["public, tenant", '"$user", public', "public, pg_catalog"])
def test_another_search_path_is_no_drift(
    path: str, report: Callable[[], dict[str, Any]], engine: sa.Engine
) -> None:
    """
    How names are printed depends on the search_path; the comparison does not.
    """
    name = engine.url.database
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA tenant; CREATE TABLE tenant.article (id int)")
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET search_path = {path}")
    assert report()["exit"] == 0


def test_an_answer_without_twins_is_called_weaker(
    report: Callable[[], dict[str, Any]], engine: sa.Engine
) -> None:
    """
    Where nothing can be made, as on a replica, a condition is judged by its fingerprint.
    """
    name = engine.url.database
    with engine.begin() as connection:
        connection.exec_driver_sql(DRIFT["trigger condition altered"][0])
        connection.exec_driver_sql(DRIFT["function body edited"][0])
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    found = report()
    assert found["exit"] == 1
    assert [step["name"] for step in found["steps"]] == ["touch()"]
    assert "lower_slug" in {each["name"] for each in found["weaker"]}


def test_a_check_takes_no_lock_that_anybody_could_notice(
    migrated: Path, database: Database, engine: sa.Engine
) -> None:
    """
    Never more than ACCESS SHARE on a table of the host, at any moment of a check.

    Everything differs, so that everything has to be printed by the server.
    """
    from pgultra.integrations.cli.target import load

    with engine.begin() as connection:
        connection.exec_driver_sql(DRIFT["view replaced"][0])
        connection.exec_driver_sql(DRIFT["trigger condition altered"][0])
        connection.exec_driver_sql(DRIFT["volatility changed"][0])
        connection.exec_driver_sql(DRIFT["index replaced"][0])
        connection.exec_driver_sql(
            "ALTER TABLE article DROP CONSTRAINT article_soft_delete_flag;"
            "ALTER TABLE article ADD CONSTRAINT article_soft_delete_flag CHECK (id > 0)"
        )
    checking, watching = database.engine(), database.engine(isolation_level="AUTOCOMMIT")
    modes: set[tuple[str, str]] = set()
    metadata = load(f"{migrated}:Base")
    with checking.connect() as connection, watching.connect() as observer:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))

        @sa.event.listens_for(checking, "after_cursor_execute")
        def look(*_: object) -> None:
            found = observer.execute(
                sa.text(
                    "SELECT c.relname, l.mode FROM pg_locks AS l"
                    " JOIN pg_class AS c ON c.oid = l.relation"
                    " WHERE l.pid = :pid AND c.relnamespace = CAST('public' AS regnamespace)"
                ),
                {"pid": pid},
            )
            modes.update((row.relname, row.mode) for row in found)

        found = check(connection, metadata)
    assert found
    assert "article" in {name for name, _ in modes}
    assert {mode for _, mode in modes} == {"AccessShareLock"}
