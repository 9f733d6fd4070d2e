"""
The how-to pages, followed to the letter.
"""

from __future__ import annotations

import gzip
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from pgultra import plan
from pgultra.features import partitions
from pgultra.features.partitions.conversion.run import Conversion
from pgultra.integrations.cli.app import app
from tests.docs.running import text_of, yaml_of
from tests.features.partitions.upkeep_stage import PARTMAN_TYPE, children

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.alembic import MigrationEnvironment
    from tests.fixtures.database import Database

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
PRELUDE = """
from datetime import datetime, timedelta
from pathlib import Path
from sqlalchemy import BigInteger, DateTime, ForeignKeyConstraint, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass
"""


class Page:
    """
    One page with its models in a file, as an application has them.
    """

    def __init__(self, name: str, database: Database, folder: Path) -> None:
        self.text = (PAGES / f"{name}.md").read_text()
        self.database, self.folder, self.engine = database, folder, database.engine()
        python = re.findall(r"```python\n(.*?)```", self.text, re.DOTALL)
        self.models = folder / "models.py"
        self.models.write_text(PRELUDE + "".join(each for each in python if "class " in each))
        self.python = [each for each in python if "class " not in each]
        self.commands = re.findall(r"^(?:\$ )?(pgultra .*)$", self.text, re.MULTILINE)
        self.sql = re.findall(r"```sql\n(.*?)```", self.text, re.DOTALL)
        self.names: dict[str, Any] = {"__name__": "models", "engine": self.engine}
        exec(compile(self.models.read_text(), "models", "exec", dont_inherit=True), self.names)

    @property
    def base(self) -> Any:
        """
        The page's declarative base.
        """
        return self.names["Base"]

    def command(self, words: str, *, code: int = 0) -> str:
        """
        Run the first command of the page that has these words; what it prints.
        """
        line = next(each for each in self.commands if words in each)
        line = line.replace("app.models:Base", f"{self.models}:Base")
        line = line.replace('"$DATABASE_URL"', shlex.quote(self.database.dsn))
        line = line.replace("/archive", str(self.folder / "archive"))
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == code, done.output
        return done.output

    def run(self, number: int) -> None:
        """
        Run one of the page's pieces of Python.
        """
        code = self.python[number].replace("/archive", str(self.folder / "archive"))
        exec(compile(code, "host", "exec", dont_inherit=True), self.names)

    def execute(self, *statements: str) -> None:
        """
        SQL as somebody else would send it.
        """
        with self.engine.begin() as connection:
            for each in statements:
                connection.exec_driver_sql(each)


@pytest.fixture
def open_page(database: Database, tmp_path: Path) -> Callable[[str], Page]:
    """
    Open a page by its name.
    """
    return lambda name: Page(name, database, tmp_path)


@pytest.mark.slow
def test_keep_partitions_up(
    open_page: Callable[[str], Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Planned, maintained by command and from Python, watched; pg_cron is asked for where it is not.
    """
    page = open_page("keep-partitions-up")
    page.base.metadata.create_all(page.engine)
    with page.engine.connect() as connection:
        last = children(connection, "event")[-1]
    page.execute(f"DROP TABLE {last}", "CREATE INDEX event_note ON ONLY event (note)")
    planned = page.command("partitions plan")
    assert "create partition" in planned
    assert "build index" in planned
    assert "4 done" in page.command("partitions maintain")
    assert "nothing to do" in page.command("partitions plan")
    with page.engine.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'event_note'::regclass"
        ).scalar_one()
    page.run(0)
    assert page.names["done"].complete
    assert "public.event" in page.command("partitions status")
    page.run(1)
    assert capsys.readouterr().out == ""  # three months are more than 31 days
    assert "pg_cron" in page.command("partitions schedule", code=2)
    (job,) = map(yaml.safe_load, yaml_of("how-to/keep-partitions-up"))
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    command = " ".join(container["command"])
    assert any(each.startswith(f"{command} ") for each in page.commands)
    (line,) = text_of("how-to/keep-partitions-up")
    assert any(line.strip().endswith(f"  app  {each}") for each in page.commands)


@pytest.mark.slow
def test_retire_and_archive(
    open_page: Callable[[str], Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Detached and archived by a command, adopted, archived from Python, and brought back.
    """
    page = open_page("retire-and-archive-partitions")
    page.base.metadata.create_all(page.engine)
    page.execute(
        "CREATE TABLE old PARTITION OF event FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')",
        "CREATE TABLE visit_2024_01_05 PARTITION OF visit"
        " FOR VALUES FROM ('2024-01-05Z') TO ('2024-01-06Z')",
        "COMMENT ON TABLE visit_2024_01_05 IS 'pgultra:default:partitions'",
        "INSERT INTO event VALUES (1, '2020-01-05Z')",
        "INSERT INTO visit SELECT g, '2024-01-05 03:00Z' FROM generate_series(1, 50) AS g",
    )
    assert "bears no mark" in page.command("partitions plan")
    assert "would mark" in page.command("--dry-run")
    with page.engine.connect() as connection:
        assert "old" in children(connection, "event")
    assert "marked" in page.command("adopt app.models:Base event --url")
    page.run(0)
    assert "50" in capsys.readouterr().out
    page.run(1)
    assert "2024-01-05" in capsys.readouterr().out
    assert "nothing to do" in page.command("partitions plan")
    page.command("partitions maintain")
    with page.engine.begin() as connection:
        assert "old" not in children(connection, "event")
        assert connection.exec_driver_sql("SELECT count(*) FROM old").scalar_one() == 1
        connection.exec_driver_sql("CREATE TABLE visit_back (LIKE visit INCLUDING ALL)")
        found = partitions.read_archive(page.folder / "archive" / "public.visit_2024_01_05.tsv.gz")
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy("COPY visit_back FROM STDIN") as copy:
            copy.write(gzip.decompress(Path(found.path).read_bytes()))
        connection.exec_driver_sql(f"ALTER TABLE visit ATTACH PARTITION visit_back {found.bound}")
        assert connection.exec_driver_sql("SELECT count(*) FROM visit").scalar_one() == 50
    assert "bears no mark" in page.command("partitions maintain")


@pytest.mark.slow
def test_drain_the_default_partition(
    open_page: Callable[[str], Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Seen by status, drained by the command and from Python.
    """
    page = open_page("drain-the-default-partition")
    page.base.metadata.create_all(page.engine)
    page.execute("INSERT INTO event SELECT g, '2001-05-05Z' FROM generate_series(1, 30) AS g")
    assert "30" in page.command("partitions status", code=1)
    assert "30 rows into public.event_2001_05" in page.command("partitions drain")
    page.execute("INSERT INTO event SELECT g, '2003-05-05Z' FROM generate_series(1, 20) AS g")
    page.run(0)
    child, number, _ = capsys.readouterr().out.split()
    assert (child, number) == ("public.event_2003_05", "20")
    page.execute("INSERT INTO event VALUES (1, 'infinity')")
    page.run(0)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["copy", "attach"])
def test_convert_a_big_table(
    open_page: Callable[[str], Page],
    capsys: pytest.CaptureFixture[str],
    alembic_env: MigrationEnvironment,
    way: str,
) -> None:
    """
    Planned, converted, rolled back, converted from Python, finished; or attached as it is.

    Autogenerate finds nothing to do.
    """
    page = open_page("convert-a-big-table")
    page.execute(
        "CREATE TABLE event (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
        " at timestamptz NOT NULL, note varchar)",
        "INSERT INTO event (at, note) SELECT now() - g * interval '1 hour', 'n'"
        " FROM generate_series(1, 2000) AS g",
        "CREATE TABLE remark (id int PRIMARY KEY, event_id bigint NOT NULL REFERENCES event)",
        "INSERT INTO remark SELECT id, id FROM event WHERE id < 100",
    )
    assert "ACCESS EXCLUSIVE" in page.command("--plan")
    if way == "copy":
        assert "2,000 rows compared" in page.command("convert app.models:Base event --url")
        assert "undone" in page.command("--rollback")
        page.run(0)
        assert "2,000 rows compared" in capsys.readouterr().out
        assert "--resume" in page.text
        assert "finished" in page.command("--finish")
        assert [word for word in Conversion.steps if f"| {word} |" not in page.text] == []
    else:
        assert "converted" in page.command("--way attach")
        page.command("--finish")
    with page.engine.connect() as connection:
        assert plan.check(connection, page.base.metadata).steps == ()
        assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == 2000
        joined = "SELECT count(*) FROM remark JOIN event ON (event.id, at) = (event_id, event_at)"
        assert connection.exec_driver_sql(joined).scalar_one() == 99
    assert alembic_env.check(metadata=page.base.metadata) == []


@pytest.mark.slow
@pytest.mark.needs("pg_partman")
def test_move_from_pg_partman(
    open_page: Callable[[str], Page], alembic_env: MigrationEnvironment
) -> None:
    """
    Left alone while it is configured; then declared, adopted and maintained; then given back.
    """
    page = open_page("move-from-pg-partman")
    leave, give_back = page.sql
    begin = (datetime.now(UTC) - timedelta(days=800)).strftime("%Y-%m-01")
    page.execute(
        "CREATE SCHEMA partman",
        "CREATE EXTENSION pg_partman SCHEMA partman",
        "CREATE TABLE event (id bigint, at timestamptz NOT NULL, note varchar, PRIMARY KEY (id, at))"
        " PARTITION BY RANGE (at)",
        f"SELECT partman.create_parent('public.event', 'at', p_type := {PARTMAN_TYPE},"
        f" p_interval := '1 month', p_start_partition := '{begin}')",
        "DROP TABLE event_default",  # as the page's table says
        f"INSERT INTO event SELECT n, timestamptz '{begin}' + n * interval '1 day'"
        " FROM generate_series(0, 800) AS n",
    )
    assert "managed by pg_partman" in page.command("partitions maintain")
    page.execute(leave)
    with page.engine.connect() as connection:
        *_, before, last = children(connection, "event")
        older = connection.exec_driver_sql(f"SELECT {PARTMAN_TYPE}").scalar_one() == "native"
    page.execute(f"DROP TABLE {before}, {last}")  # so that there is one to make, and one more
    revision = alembic_env.autogenerate("event by pgultra", metadata=page.base.metadata)
    assert "create_table" not in revision.text
    alembic_env.upgrade()
    assert page.command("partitions adopt").count("marked") > 20
    assert "detach and drop" in page.command("partitions plan")
    page.command("partitions maintain")
    with page.engine.connect() as connection:
        (state,) = partitions.status(connection, page.base)
        assert (state.gaps, state.healthy, state.pending) == ((), True, 0)
        assert 16 <= len(state.partitions) <= 19
        kept = connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one()
        assert 300 < kept < 800
        *others, ours, last = [each.name for each in state.partitions]
        assert re.fullmatch(r"public\.event_\d{4}_\d\d", ours)
    alembic_env.downgrade("-1")
    page.execute(f"DROP TABLE {last}")
    if older:
        renamed = ours.removeprefix("public.").replace("event_", "event_p")
        page.execute(f"ALTER TABLE {ours} RENAME TO {renamed}")
    page.execute(give_back)
    with page.engine.connect() as connection:
        theirs = children(connection, "event")
        assert len(theirs) == len(others) + 2
        assert len([name for name in theirs if "_p" in name]) == len(others) + 1 + older
        assert connection.exec_driver_sql("SELECT count(*) FROM event").scalar_one() == kept
        left = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgultra%%'"
        assert connection.exec_driver_sql(left).scalar_one() == 0
