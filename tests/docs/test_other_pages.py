"""
The pages that belong to no room, block by block.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import plan
from pgultra.integrations.embedded import wheel_binaries
from pgultra.plan.describe import as_text
from tests.docs.pages import DOCS, ROOT
from tests.docs.running import ARTICLE, VISIT, host, python_of, run, sql_of

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment


def test_adopt_existing_objects(engine: sa.Engine) -> None:
    """
    A function and a trigger made by hand equal the page's declaration.
    """
    names = host()
    run(VISIT, names)
    (block,) = python_of("how-to/adopt-existing-objects")
    run(block, names)
    metadata = names["Base"].metadata
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            CREATE TABLE visit (id serial PRIMARY KEY, seen timestamp);
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
                AS 'begin new.seen := now(); return new; end';
            CREATE TRIGGER visit_seen BEFORE UPDATE ON visit FOR EACH ROW EXECUTE FUNCTION touch();
        """)
        text = as_text(plan.check(connection, metadata))
    assert "unmarked: function touch()" in text
    assert "unmarked: trigger visit_seen on visit" in text
    assert "changed" not in text
    assert "missing" not in text


def test_check_for_drift_in_ci(alembic_env: MigrationEnvironment, engine: sa.Engine) -> None:
    """
    The test of the page passes on a migrated database, fails on a changed one, and its role can ask.
    """
    source = f"from datetime import datetime\nfrom sqlalchemy.orm import *\nfrom pgultra import *\nclass Base(DeclarativeBase): pass\n{ARTICLE}"
    alembic_env.write_models(source)
    alembic_env.autogenerate("first")
    (block,) = python_of("how-to/check-for-drift-in-ci")
    names: dict[str, Any] = host()
    run(source, names)
    run(block.replace("from app.models import Base\n", ""), names)
    test = names["test_migrations_make_what_the_models_declare"]
    configuration = alembic_env._config(metadata=False)
    test(engine, configuration)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER article_soft_delete_guard ON article")
    with pytest.raises(AssertionError, match="article_soft_delete_guard"):
        test(engine, configuration)


def test_the_role_that_checks(engine: sa.Engine, owner: tuple[str, str]) -> None:
    """
    A role with the page's one right finds no drift where there is none.
    """
    names = host()
    run(ARTICLE, names)
    names["Base"].metadata.create_all(engine)
    (script,) = sql_of("how-to/check-for-drift-in-ci")
    _, grant = script.strip().split(";\n")
    role = f"{owner[0]}_check"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        grant = grant.replace("DATABASE app", f'DATABASE "{engine.url.database}"')
        connection.exec_driver_sql(grant.replace("drift_check", role))
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
            assert not plan.check(connection, names["Base"].metadata)
            transaction.rollback()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.slow
@pytest.mark.skipif(wheel_binaries() is None, reason="runs the embedded server")
def test_run_a_private_server(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The first block prints the version of a server; the others take programs, and memory, of ours.
    """
    first, second, third = python_of("how-to/run-a-private-server")
    run(first, host())
    assert int(capsys.readouterr().out.split(".")[0]) >= 15
    binaries = "/usr/lib/postgresql/17/bin"
    if not shutil.which("initdb", path=binaries):
        binaries = str(wheel_binaries())
    names = host()
    run("from pgultra.integrations.embedded import PrivateServer", names)
    run(second.replace("/usr/lib/postgresql/17/bin", binaries), names)
    assert str(names["server"].binaries) == binaries
    run(third, names)
    assert names["server"].parent == Path("/dev/shm")


def test_use_schema_per_tenant_and_copies(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Two ways to a tenant's schema, a table made alone, and copies: each has its triggers.
    """
    path, check, translated, alone, missing, copies = python_of(
        "how-to/use-schema-per-tenant-and-copies"
    )
    names = host(engine=engine)
    run(ARTICLE, names)
    run(path, names)
    run(check, names)
    assert "tenant_7" not in capsys.readouterr().out.replace("no drift", "")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO tenant_7.article VALUES (1)")
    tenant = engine.execution_options(schema_translate_map={None: "tenant_7"})
    with Session(tenant) as session:
        article = session.get_one(names["Article"], 1)
    run(f"{translated}\n    session.commit()", names | {"article": article})
    with engine.begin() as connection:
        dead = connection.exec_driver_sql("SELECT deleted_at FROM tenant_7.article").scalar_one()
        assert dead is not None
        with pytest.warns(names["PgultraWarning"]):
            names["Article"].__table__.create(connection)
        names["connection"] = connection
        run(missing, names)
        assert len(names["missing"].steps) > 3
        run(alone, names)
        assert not plan.check(connection, names["Base"].metadata)
        connection.exec_driver_sql("CREATE SCHEMA archive")
    run(copies, names)
    with engine.connect() as connection:
        assert not plan.check(connection, names["archive"])


def test_the_models_of_the_reference_of_partitions(engine: sa.Engine) -> None:
    """
    The declared table is partitioned, and the page's test of pruning passes.
    """
    model, test = python_of("reference/partitions")
    names = host()
    run(model, names)
    names["Base"].metadata.create_all(engine)
    run(test, names | {"moment": sa.func.now()})
    names["moment"] = sa.text("date_trunc('month', now()) + interval '2 months'")
    run(f"{test}\n", names)
    with engine.connect() as connection:
        names["test_the_feed_reads_one_month"](connection)


def test_the_rights_of_the_reference(connection: sa.Connection, owner: tuple[str, str]) -> None:
    """
    Who migrates makes tables in his schema, and who reads and writes gets at them, without more.
    """
    keeper, user = f"{owner[0]}_keeper", f"{owner[0]}_user"
    database = connection.scalar(sa.text("SELECT current_database()"))
    connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN")
    for block in sql_of("reference/rights"):
        text = block.replace("DATABASE app", f'DATABASE "{database}"').replace("app_owner", keeper)
        connection.exec_driver_sql(re.sub(r"\bapp\b", user, text))
    connection.exec_driver_sql(f"SET LOCAL ROLE {keeper}; CREATE TABLE shop.till (id int)")
    connection.exec_driver_sql(f"SET LOCAL ROLE {user}; INSERT INTO shop.till VALUES (1)")
    refused = pytest.raises(sa.exc.ProgrammingError, match="permission denied")
    with refused, connection.begin_nested():
        connection.exec_driver_sql("CREATE TABLE shop.other (id int)")


def test_the_index_of_the_reference() -> None:
    """
    Each extra is in the table, the versions are those of the package, and the imports work.
    """
    page = (DOCS / "reference" / "index.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert re.findall(r"^\| `pgultra\[(\w+)\]`", page, re.MULTILINE) == [
        "alembic", "cli", "encryption", "vector", "embedders", "embedded", "demo", "dev"
    ]  # fmt: skip
    assert set(project["optional-dependencies"]) == set(re.findall(r"`pgultra\[(\w+)\]`", page))
    assert project["dependencies"] == ["sqlalchemy>=2.0.40"]
    assert project["optional-dependencies"]["alembic"] == ["alembic>=1.18"]
    names = host()
    run(ARTICLE, names)
    for block in python_of("reference/index"):
        run(block, names)
    assert "deleted_at IS NULL" not in str(names["statement"])


@pytest.mark.parametrize(
    "broken",
    ["sys.modules['alembic'] = None", "import alembic.util; del alembic.util.DispatchPriority"],
)
def test_an_alembic_that_is_too_old_or_missing(broken: str) -> None:
    """
    What `reference/alembic` says of it: an ImportError that names version and extra.
    """
    code = f"import sys\n{broken}\nimport pgultra.integrations.alembic"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs Alembic 1.18 or later: pip install 'pgultra[alembic]'" in done.stderr


ENVIRONMENT = """
from alembic import context
import models, sqlalchemy as sa
{line}
with sa.create_engine(models.URL).connect() as connection:
    context.configure(connection=connection, target_metadata=models.Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
MODELS = """
from pgultra import *
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
URL = {url!r}
class Base(DeclarativeBase): pass
class Article(SoftDelete, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
MORE = """
class Event(PartitionedTable, Base):
    __tablename__ = "event"
    __partition_by__ = ByRange("id", every=100)
    id: Mapped[int] = mapped_column(primary_key=True)
"""
SECRET = """
class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = EncryptedColumn(String, keys=KeyRing.from_env("pii", variable="NONE"))
"""


@pytest.mark.slow
@pytest.mark.once
def test_alembic_without_the_line(tmp_path: Path, engine: sa.Engine) -> None:
    """
    What `reference/alembic` says of an `env.py` that does not import pgultra's door.
    """

    def alembic(*words: str) -> str:
        call = [sys.executable, "-c", "from alembic.config import main; main()", *words]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def script() -> str:
        alembic("revision", "--autogenerate", "-m", "more")
        found = sorted((tmp_path / "migrations" / "versions").glob("*.py"), key=_made_at)
        return found[-1].read_text()

    url = engine.url.render_as_string(hide_password=False)
    models = textwrap.dedent(MODELS).format(url=url)
    environment = tmp_path / "migrations" / "env.py"
    alembic("init", "migrations")
    environment.write_text(ENVIRONMENT.format(line=""))
    (tmp_path / "models.py").write_text(models)
    assert "op.create_table('article'" in script()
    alembic("upgrade", "head")
    assert "No new upgrade operations detected." in alembic("check")
    (line,) = python_of("reference/alembic")
    environment.write_text(ENVIRONMENT.format(line=line))
    (tmp_path / "models.py").write_text(models + MORE)
    assert "CREATE TRIGGER article_soft_delete_guard" in script()  # and what was missing
    alembic("upgrade", "head")
    assert "No new upgrade operations detected." in alembic("check")
    environment.write_text(ENVIRONMENT.format(line=""))
    (tmp_path / "models.py").write_text(models + MORE + SECRET)
    last = script()
    assert "op.drop_table('event_" in last.partition("def downgrade")[0]
    assert "NameError: name 'pgultra' is not defined" in alembic("upgrade", "head")


def _made_at(path: Path) -> float:
    return path.stat().st_mtime_ns
