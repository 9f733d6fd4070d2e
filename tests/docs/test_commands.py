"""
The commands of the how-to, reference and explanation pages, followed against a database.

Those of partitions are run by tests/features/partitions/test_how_to.py, in its process.
"""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import yaml
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.orm import Session

from pgultra import KeyRing, plan
from tests.docs.follower import Follower
from tests.docs.running import ARTICLE, PRELUDE, VISIT, commands_of, python_of, run, yaml_of
from tests.fixtures.requirements import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database
    from tests.fixtures.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.once]  # a program takes most of a second

SECRETS = f"""{PRELUDE}
from sqlalchemy import String

PII = KeyRing.from_env("pii", variable="APP_PII_KEYS")
"""
SEALED = """
class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = EncryptedColumn(String, keys=PII)
"""
NOTIFY = """#!/bin/sh
cp "$1" notified.json
"""


@pytest.fixture
def reader(alembic_env: MigrationEnvironment, database: Database) -> Iterator[Follower]:
    """
    Somebody in the folder of an application that has a database and migrations.
    """
    with Follower(alembic_env.folder) as reader:
        reader.environment["DATABASE_URL"] = database.url.render_as_string(hide_password=False)
        yield reader


def written(reader: Follower, models: str) -> SimpleNamespace:
    """
    Write the models of the application, for its migrations too; give their names.
    """
    reader.write("app/models.py", models)
    reader.write("models.py", models)
    names: dict[str, Any] = {"__name__": "host"}
    run(models, names)
    return SimpleNamespace(**names)


def test_a_key_by_openssl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    """
    What the page exports is a key that a ring reads.
    """
    if shutil.which("openssl") is None:
        lacking(pytestconfig, "openssl is not on this machine")
    with Follower(tmp_path) as reader:
        reader.follow(commands_of("how-to/encrypt-a-column"))
    monkeypatch.setenv("APP_PII_KEYS", reader.environment["APP_PII_KEYS"])
    ring = KeyRing.from_env("pii", variable="APP_PII_KEYS")
    assert ring.decrypt(ring.encrypt(b"x", id="a.b"), id="a.b") == b"x"


def test_encrypt_existing_data(reader: Follower, engine: sa.Engine) -> None:
    """
    What processes of the deployment before wrote is sealed and compared by the page's command.
    """
    reader.environment["APP_PII_KEYS"] = KeyRing.generate(1)
    both = python_of("how-to/encrypt-existing-data")[0]
    written(reader, f"{SECRETS}{both}").Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO person (email) VALUES ('ann@x'), (NULL), ('b@x')")
    printed = reader.follow(commands_of("how-to/encrypt-existing-data"), silent=False)
    assert "person.email_sealed: 2 rows, 2 sealed, 0 remaining" in printed


def test_rotate_keys(reader: Follower, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With the new key last, the page's commands seal all anew and say that the old key may go.
    """
    old = KeyRing.generate(1)
    monkeypatch.setenv("APP_PII_KEYS", old)
    models = written(reader, f"{SECRETS}{SEALED}")
    models.Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(models.Person(email=f"{name}@x") for name in ("ann", "bob"))
        session.commit()
    new = reader.run("pgultra encryption key 2").strip()
    reader.environment["APP_PII_KEYS"] = f"{old} {new}"
    printed = reader.follow(commands_of("how-to/rotate-keys"), silent=False)
    assert "person.email: 2 to do, 2 done, 0 remaining" in printed
    assert "person.email key 1: 0 rows, may be retired" in printed
    assert "person.email key 2: 2 rows, active" in printed


def test_adopt_existing_objects(
    reader: Follower, alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    What is equal is taken over, what differs is handed over and replaced, and comes back.
    """
    page = "how-to/adopt-existing-objects"
    (declared,) = python_of(page)
    metadata = written(reader, f"{PRELUDE}{VISIT}{declared}").Base.metadata
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE TABLE visit (id serial PRIMARY KEY, seen timestamp);
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
                AS 'begin new.seen := now(); return new; end';
            CREATE TRIGGER visit_seen BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION touch();
        """)
    checked, equal, different = commands_of(page)
    printed = reader.follow([checked], silent=False)
    assert "unmarked: function touch()" in printed
    assert "trigger visit_seen on visit" in printed.partition("in the way")[2]
    printed = reader.follow([equal], silent=False)
    assert "1 would be adopted" in printed
    assert "1 adopted" in printed
    printed = reader.follow([different], silent=False)
    assert "1 adopted" in printed
    assert "take_over_visit_seen.py" in printed
    alembic_env.upgrade()
    with engine.connect() as connection:
        assert not plan.check(connection, metadata)
    alembic_env.downgrade("-1")
    with engine.connect() as connection:
        trigger = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'visit_seen'"
        assert "BEFORE INSERT" in connection.scalar(sa.text(trigger))


def test_check_for_drift_in_ci(
    reader: Follower, alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    The steps of the pipeline pass on a migrated database; at night somebody is told of drift.
    """
    written(reader, f"{PRELUDE}{ARTICLE}")
    alembic_env.autogenerate("articles")
    (pipeline,) = yaml_of("how-to/check-for-drift-in-ci")
    steps = yaml.safe_load(pipeline)
    assert [list(step.get("env", {})) for step in steps] == [[], [], ["PGULTRA_URL"]]
    *migrations, checked = [step["run"] for step in steps]
    for command in migrations:
        reader.run(command)
    reader.environment["PGULTRA_URL"] = reader.environment.pop("DATABASE_URL")
    assert reader.run(checked) == "no drift\n"

    reader.write("bin/notify", NOTIFY)
    (reader.folder / "bin" / "notify").chmod(0o755)
    reader.environment["PATH"] = f"{reader.folder}/bin:{reader.environment['PATH']}"
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER article_soft_delete_guard ON article")
    reader.follow(commands_of("how-to/check-for-drift-in-ci"))
    told = json.loads((reader.folder / "notified.json").read_text())
    assert [step["name"] for step in told["steps"]] == ["article_soft_delete_guard"]


def test_soft_delete_with_cascade(
    reader: Follower, alembic_env: MigrationEnvironment, engine: sa.Engine
) -> None:
    """
    The migration of the page is written and run by its commands, and nothing is left to do.
    """
    written(reader, PRELUDE + python_of("how-to/soft-delete-with-cascade")[0])
    printed = reader.follow(commands_of("how-to/soft-delete-with-cascade"), silent=False)
    assert "soft_delete.py" in printed
    assert sa.inspect(engine).has_table("comment")
    assert alembic_env.check() == []


def test_a_migration_waits_two_seconds_for_a_lock(
    reader: Follower, alembic_env: MigrationEnvironment
) -> None:
    """
    The command of both pages sets the patience of the migration that it runs.
    """
    (waiting,) = commands_of("explanation/locks")
    (same,) = commands_of("how-to/add-soft-delete-to-a-big-table")
    assert waiting.text == same.text
    says = "DO 'BEGIN RAISE ''patience %'', current_setting(''lock_timeout''); END'"
    written(reader, PRELUDE)
    alembic_env.revision(upgrade=says)
    with pytest.raises(AssertionError, match="patience 2s"):
        reader.follow([waiting])


def test_the_script_of_pgultra_sql(
    reader: Follower, server: Server, database: Database, pytestconfig: pytest.Config
) -> None:
    """
    psql runs what the command prints, in one transaction, and the tables are there as declared.
    """
    if server.binaries is not None:
        reader.environment["PATH"] += f":{server.binaries}"
    if shutil.which("psql", path=reader.environment["PATH"]) is None:
        lacking(pytestconfig, "psql is not on this machine")
    metadata = written(reader, f"{PRELUDE}{ARTICLE}").Base.metadata
    place = conninfo_to_dict(database.dsn)
    for name in ("host", "port", "user", "password"):
        if name in place:
            reader.environment[f"PG{name.upper()}"] = str(place[name])
    (script, _) = commands_of("reference/command-line")
    reader.run(script.text.strip().replace("new_database", str(place["dbname"])))
    with database.engine().connect() as connection:
        assert sa.inspect(connection).has_table("article")
        assert not plan.check(connection, metadata)
