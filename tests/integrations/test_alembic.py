"""
The Alembic door as a host meets it: one revision that makes everything, and takes it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra import plan
from tests.fixtures.alembic import MigrationEnvironment
from tests.fixtures.strangers import STRANGERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database

LONG = "t" * 63
MODELS = f'''
import sqlalchemy as sa
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from pgultra import Function, Schema, Trigger, View, declare
from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions, unique_live


class Base(DeclarativeBase):
    pass


class Post(SoftDelete, Base):
    __tablename__ = "post"
    __table_args__ = (unique_live("slug"), {{"schema": "blog"}})
    __soft_delete__ = SoftDeleteOptions(view=True, flag="is_deleted")
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    notes: Mapped[list["Note"]] = relationship(cascade="all")


class Note(SoftDelete, Base):
    __tablename__ = "{LONG}"
    __table_args__ = {{"schema": "blog"}}
    __soft_delete__ = SoftDeleteOptions(view=True, refuse_orphans=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    post_id: Mapped[int] = mapped_column(ForeignKey("blog.post.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("blog.{LONG}.id"))
    replies: Mapped[list["Note"]] = relationship(cascade="all")


class Weird(SoftDelete, Base):
    __tablename__ = 'Weird "Table'
    __soft_delete__ = SoftDeleteOptions(view=True, deleted_at="deleted At", deleted_by="By")
    key: Mapped[int] = mapped_column('the "key"', primary_key=True)
    text: Mapped[str] = mapped_column("100% text")


declare(
    Base,
    Schema(name="blog"),
    View(
        name="noted",
        schema="blog",
        query=select(Post.__table__.c.slug, sa.func.count().label("n"))
        .join_from(Post.__table__, Note.__table__)
        .group_by(Post.__table__.c.slug),
    ),
    Function(
        name="shout",
        body="begin new.slug := upper(new.slug); -- 100% :sure \\\\ $$\\n return new; end",
    ),
)
declare(
    Post,
    Trigger(
        name="shouted",
        table="post",
        schema="blog",
        timing="BEFORE",
        events=("INSERT",),
        when="new.slug like 'a%'",
        function="shout",
        function_schema=None,
    ),
)
'''


@pytest.fixture
def scenario(alembic_env: MigrationEnvironment, engine: sa.Engine) -> MigrationEnvironment:
    """
    The models, over a database that only strangers use.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(STRANGERS)
    alembic_env.write_models(MODELS)
    alembic_env.configure(include_schemas=True, include_name=not_theirs)
    return alembic_env


def not_theirs(name: str | None, kind: str, parents: dict[str, str | None]) -> bool:
    return name not in ("theirs", "visitor")


def models(path: Path) -> sa.MetaData:
    """
    The MetaData of the models, made anew.
    """
    namespace: dict[str, sa.orm.DeclarativeBase] = {"__name__": "migrated_models"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace["Base"].metadata


@pytest.mark.slow
def test_one_revision_makes_everything_and_takes_it_back(
    scenario: MigrationEnvironment,
    database: Database,
    engine: sa.Engine,
    new_database: Callable[[], Database],
    dump: Callable[[Database], str],
) -> None:
    """
    What the issue asks for, word by word: upgrade, nothing left, as create_all, downgrade.
    """
    before = dump(database)
    revision = scenario.autogenerate()
    assert "pgultra" not in revision.text.split("def upgrade")[0]
    scenario.upgrade()
    assert scenario.autogenerate("second").empty
    scenario.upgrade()
    assert scenario.check() == []
    other = new_database()
    with other.engine().begin() as connection:
        connection.exec_driver_sql(STRANGERS)
    models(scenario.folder / "models.py").create_all(other.engine())
    assert dump(database) == dump(other)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO blog.post (slug) VALUES ('abc')")
        assert connection.scalar(sa.text("SELECT slug FROM blog.post_live")) == "ABC"
    scenario.downgrade()
    assert dump(database) == before


@pytest.mark.slow
def test_the_program_says_the_same(scenario: MigrationEnvironment) -> None:
    """
    `alembic check` exits 255 before and 0 after, in a process of its own.
    """
    env = scenario.folder / "env.py"
    named = "include_name=lambda name, *_: name not in ('theirs', 'visitor')"
    text = env.read_text().replace("**options)", f"**options, include_schemas=True, {named})")
    env.write_text(text)
    assert scenario.program("check").returncode != 0
    for command in (("revision", "--autogenerate", "-m", "first"), ("upgrade", "head"), ("check",)):
        done = scenario.program(*command)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_revision_can_be_replayed_without_pgultra(
    scenario: MigrationEnvironment,
    database: Database,
    new_database: Callable[[], Database],
    dump: Callable[[Database], str],
) -> None:
    """
    The script is a photograph: it runs where neither env.py nor models know pgultra.
    """
    revision = scenario.autogenerate()
    scenario.upgrade()
    other = new_database()
    with other.engine().begin() as connection:
        connection.exec_driver_sql(STRANGERS)
    plain = MigrationEnvironment(scenario.folder.parent / "plain", other.engine(), pgultra=False)
    plain.write_models("from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    (plain.folder / "versions" / "copied.py").write_text(revision.text)
    done = plain.program("upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert dump(other) == dump(database)


@pytest.mark.slow
@pytest.mark.parametrize("asynchronous", [False, True], ids=["psycopg", "asyncpg"])
def test_offline_and_async_environments(
    asynchronous: bool,
    tmp_path: Path,
    database: Database,
    new_database: Callable[[], Database],
    dump: Callable[[Database], str],
    psql: Callable[[Database, str], str],
) -> None:
    """
    The same database by asyncpg, and by psql from what --sql prints; and back.
    """
    environment = MigrationEnvironment(tmp_path / "m", database.engine(), asynchronous=asynchronous)
    environment.write_models(MODELS)
    environment.configure(include_schemas=True)
    before = dump(database)
    revision = environment.autogenerate()
    environment.upgrade()
    assert environment.check() == []
    other = new_database()
    psql(other, environment.offline_sql())
    assert dump(other) == dump(database)
    environment.downgrade()
    psql(other, environment.offline_sql(f"{revision.identifier}:base", down=True))
    assert dump(other) == dump(database) == before


DRIFT = {
    "trigger dropped": "DROP TRIGGER shouted ON blog.post",
    "trigger disabled": "ALTER TABLE blog.post DISABLE TRIGGER shouted",
    "trigger always": "ALTER TABLE blog.post ENABLE ALWAYS TRIGGER shouted",
    "trigger renamed": "ALTER TRIGGER shouted ON blog.post RENAME TO other",
    "function body": """CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql
        AS 'begin return null; end'""",
    "function search_path": "ALTER FUNCTION shout() SET search_path = blog",
    "function volatility": "ALTER FUNCTION shout() STABLE",
    "function security": "ALTER FUNCTION shout() SECURITY DEFINER",
    "view replaced": "CREATE OR REPLACE VIEW blog.noted AS SELECT slug, 1::bigint AS n FROM blog.post",
    "view option": "ALTER VIEW blog.post_live SET (security_invoker = false)",
    "index dropped": "DROP INDEX blog.{index}",
    "check dropped": "ALTER TABLE blog.post DROP CONSTRAINT {check}",
    "mark of a trigger removed": "COMMENT ON TRIGGER shouted ON blog.post IS NULL",
    "mark of a view replaced": "COMMENT ON VIEW blog.noted IS 'Mine.'",
    "mark of a function removed": "COMMENT ON FUNCTION shout() IS NULL",
    "mark of an index removed": "COMMENT ON INDEX blog.{index} IS NULL",
}
NO_DRIFT = """
CREATE FUNCTION public.foreign_function() RETURNS trigger LANGUAGE plpgsql AS 'begin return new; end';
CREATE TRIGGER foreign_trigger AFTER INSERT ON blog.post FOR EACH ROW
    EXECUTE FUNCTION public.foreign_function();
CREATE VIEW blog.foreign_view AS SELECT * FROM blog.noted;
CREATE FUNCTION blog.shout(integer) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE RULE foreign_rule AS ON INSERT TO blog.noted DO INSTEAD NOTHING;
ALTER TABLE blog.post SET (fillfactor = 70);
ANALYZE blog.post;
"""


@pytest.mark.slow
def test_each_drift_is_reported_and_repaired(
    scenario: MigrationEnvironment,
    engine: sa.Engine,
    database: Database,
    dump: Callable[[Database], str],
) -> None:
    """
    Every change by hand is one difference of `alembic check`, and one migration away from good.
    """
    scenario.autogenerate()
    scenario.upgrade()
    good = dump(database)
    names = {
        each.kind: next(o.name for o in sa_objects(scenario) if o.kind == each.kind)
        for each in sa_objects(scenario)
        if each.kind in ("index", "check")
    }
    for number, (what, statement) in enumerate(DRIFT.items()):
        with engine.begin() as connection:
            connection.exec_driver_sql(statement.format(**names))
        assert len(scenario.check()) == (2 if what == "trigger renamed" else 1), what
        revision = scenario.autogenerate(f"repair {number}")
        assert not revision.empty, what
        scenario.upgrade()
        assert scenario.check() == [], what
        now = dump(database)
        assert now.replace("Mine.\n", "") == good, what
    with engine.connect() as connection:
        comment = connection.scalar(sa.text("SELECT obj_description('blog.noted'::regclass)"))
    assert comment.startswith("Mine.\npgultra:default:declared")


def sa_objects(environment: MigrationEnvironment) -> list:
    """
    What the models declare.
    """
    return list(plan.collect(models(environment.folder / "models.py")).values())


def test_what_is_not_drift(scenario: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    Strangers' objects on our tables, users' comments above the mark, other settings.
    """
    scenario.autogenerate()
    scenario.upgrade()
    with engine.begin() as connection:
        connection.exec_driver_sql(NO_DRIFT)
        for target in ("VIEW blog.noted", "FUNCTION shout()", "TRIGGER shouted ON blog.post"):
            catalog = {"V": "pg_class", "F": "pg_proc", "T": "pg_trigger"}[target[0]]
            mark = connection.scalar(
                sa.text(
                    "SELECT description FROM pg_description WHERE classoid = CAST(:c AS regclass) "
                    "AND description ~ '^pgultra:default:declared' AND "
                    "pg_describe_object(classoid, objoid, 0) ~ '(noted|shout)'"
                ),
                {"c": catalog},
            )
            connection.exec_driver_sql(f"COMMENT ON {target} IS 'What I think.\nOf it.\n{mark}'")
    assert scenario.check() == []
    assert scenario.autogenerate("second").empty


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["blog, public", "public, blog, theirs", "theirs, public", "public, pg_catalog", "''"]
)
def test_another_search_path_is_no_drift(
    path: str, scenario: MigrationEnvironment, engine: sa.Engine, database: Database
) -> None:
    """
    Whatever the path of the connection, what is there is found and equal.
    """
    scenario.autogenerate()
    scenario.upgrade()
    metadata = models(scenario.folder / "models.py")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET search_path = {path}")
        found = plan.check(connection, metadata)
    assert [*map(str, found), *found.conflicts] == []
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {database.name} SET search_path = {path}")
    engine.dispose()
    again = database.engine()
    with again.connect() as connection:
        assert connection.dialect.default_schema_name != "public" or path.startswith("public")
        found = plan.check(connection, metadata)
    assert [*map(str, found), *found.conflicts] == []
