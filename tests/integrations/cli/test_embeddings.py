from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from pgultra.features.embeddings import OpenAIEmbedder
from tests.docs.running import commands_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.database import Database

pytestmark = pytest.mark.needs("vector")

MODELS = """
import sqlalchemy as sa
import pgultra
from pgultra.features.embeddings import HashingEmbedder, Rules, VectorType

metadata, plain = sa.MetaData(), sa.MetaData()
note = sa.Table(
    "note", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text),
    sa.Column("embedding", VectorType(16, source="body", model=HashingEmbedder(16).model)),
    sa.Column("other", VectorType(3, source="body", index=None)),
    sa.Column("bare", VectorType(3, precision="bit")),
)
for name in ("embedding", "other", "bare"):
    pgultra.declare(note, Rules(name))
sa.Table("bare", plain, sa.Column("id", sa.Integer, primary_key=True))


class Fussy:
    model, dimensions = "fussy", 3

    def embed(self, texts):
        if any("bad" in text for text in texts):
            raise RuntimeError("cannot read it")
        return [[float(len(text)), 1.0, 1.0] for text in texts]


class Stopped(Fussy):
    def embed(self, texts):
        raise KeyboardInterrupt


number = 42
"""
CHUNKS = """
import sqlalchemy as sa
import pgultra
from pgultra.features.embeddings import Chunks, HashingEmbedder, Rules, VectorType

metadata = sa.MetaData()
book = sa.Table(
    "book", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text)
)
page = sa.Table(
    "page", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text),
    sa.Column("book_id", sa.ForeignKey("book.id")),
    sa.Column("embedding", VectorType(16, source="text", model=HashingEmbedder(16).model)),
)


def broken(text):
    raise RuntimeError("cannot cut it")


pgultra.declare(page, Rules("embedding"))
pgultra.declare(page, Chunks(source="body", text="text", split=broken, version="broken"))
"""

REFERENCE = """
import sqlalchemy as sa
import pgultra
from pgultra.features.embeddings import Rules, VectorType

metadata = sa.MetaData()
article = sa.Table(
    "article", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text),
    sa.Column("embedding", VectorType(3, source="title", model="text-embedding-3-small")),
)
pgultra.declare(article, Rules("embedding"))
"""


@pytest.fixture
def models(tmp_path: Path, database: Database) -> str:
    """
    A file of models, and their table with five rows.
    """
    path = tmp_path / "vector_models.py"
    path.write_text(MODELS)
    names: dict[str, Any] = {}
    exec(MODELS, names)
    with database.engine().begin() as connection:
        names["metadata"].create_all(connection)
        rows = [{"id": n, "body": f"note {n}"} for n in range(5)]
        connection.execute(sa.insert(names["note"]), rows)
    return str(path)


def test_sync_embeds_what_is_stale(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Counted first, then done, then nothing is left; a changed row is embedded again.
    """
    path, url = f"{models}:metadata", ["--url", database.dsn]
    with database.engine().begin() as connection:
        connection.exec_driver_sql("DELETE FROM note_embedding_state WHERE key_0 < 2")
    dry = run("embeddings", "sync", path, "note.embedding", "--dry-run", *url)
    assert dry.exit_code == 0
    assert "2 queued, 0 embedded" in dry.output
    done = run("embeddings", "sync", path, "note.embedding", "--batch", 2, *url)
    assert done.exit_code == 0
    assert "2 queued, 5 embedded by pgultra-hashing-1-16-34, 0 waiting, 0 failed" in done.output
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE note SET body = 'another' WHERE id = 3")
    again = run("embeddings", "sync", path, "note.embedding", "--json", *url)
    assert json.loads(again.output) == [
        {
            "column": "note.embedding",
            "model": "pgultra-hashing-1-16-34",
            "queued": 0,
            "embedded": 1,
            "changed": 0,
            "failed": 0,
            "waiting": 0,
            "interrupted": False,
        }
    ]
    whole = run("embeddings", "sync", path, "note.embedding", "--everything", *url)
    assert "5 queued, 5 embedded" in whole.output


def test_sync_with_an_embedder_of_the_host(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Named by its place; rows that fail are counted, kept, and tried again when told so.
    """
    command = ["embeddings", "sync", f"{models}:metadata", "note.other", "--url", database.dsn]
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE note SET body = 'bad' WHERE id = 1")
    done = run(*command, "--embedder", f"{models}:Fussy", "--batch", 1)
    assert done.exit_code == 1
    assert "4 embedded by fussy, 1 waiting, 0 failed" in done.output
    with database.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE note_other_state SET failed_at = now() WHERE key_0 = 1")
        connection.exec_driver_sql("ALTER TABLE note DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE note SET body = 'good' WHERE id = 1")
    assert "1 failed" in run(*command, "--embedder", f"{models}:Fussy").output
    again = run(*command, "--embedder", f"{models}:Fussy", "--retry-failed")
    assert again.exit_code == 0
    assert "1 embedded by fussy, 0 waiting, 0 failed" in again.output


def test_parents_that_cannot_be_split_are_told(
    run: Callable[..., Any], tmp_path: Path, database: Database
) -> None:
    """
    They wait like rows do, and it is exit code 1.
    """
    path = tmp_path / "chunk_models.py"
    path.write_text(CHUNKS)
    names: dict[str, Any] = {}
    exec(CHUNKS, names)
    with database.engine().begin() as connection:
        names["metadata"].create_all(connection)
        connection.execute(sa.insert(names["book"]), {"id": 1, "body": "text"})
    command = ["embeddings", "sync", f"{path}:metadata", "--url", database.dsn]
    done = run(*command, "--embedder", "hashing")
    assert done.exit_code == 1
    assert "0 embedded by pgultra-hashing-1-16-34, 1 waiting, 0 failed" in done.output


def test_sync_is_interrupted_and_goes_on(
    run: Callable[..., Any], models: str, database: Database
) -> None:
    """
    Ctrl-C says what was done, and the next run need not wait for the lease to end.
    """
    command = ["embeddings", "sync", f"{models}:metadata", "note.other", "--url", database.dsn]
    done = run(*command, "--embedder", f"{models}:Stopped")
    assert done.exit_code == 1
    assert "0 embedded by fussy, 5 waiting, 0 failed; interrupted" in done.output
    assert "5 embedded" in run(*command, "--embedder", f"{models}:Fussy").output


def test_recall_of_every_index(run: Callable[..., Any], models: str, database: Database) -> None:
    """
    A share for each column with an index; below the wanted one it is exit code 1.
    """
    path, url = f"{models}:metadata", ["--url", database.dsn]
    run("embeddings", "sync", path, "note.embedding", *url)
    done = run("embeddings", "recall", path, "--sample", 3, "-k", 2, *url)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "note.embedding: recall@2 1.000",
        "note.bare: recall@2 1.000",
    ]
    found = run("embeddings", "recall", path, "note.embedding", "--json", *url)
    assert json.loads(found.output) == [{"column": "note.embedding", "recall": 1.0, "k": 10}]
    with database.engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO note (id, bare) SELECT n, ARRAY[sin(n), sin(n * 7), sin(n * 31)]::vector"
            " FROM generate_series(100, 900) AS n"
        )
    low = run("embeddings", "recall", path, "note.bare", "-k", 1, "--at-least", 1, *url)
    assert low.exit_code == 1  # eight different bit strings for all these rows
    assert "note.bare: recall@1 0." in low.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sync", ":metadata", "note.other"], "nothing says what embeds note.other"),
        (["sync", ":metadata", "note.nothing"], "no vector column 'note.nothing'"),
        (["sync", ":metadata", "note.bare", "--embedder", "hashing"], "no source"),
        (["sync", ":plain"], "no vector column with a source"),
        (["recall", ":plain"], "no vector column with an index"),
        (["sync", ":metadata", "note.other", "--embedder", ":number"], "is no embedder"),
        (["sync", ":metadata", "note.other", "--embedder", "word"], "not module:attribute"),
        (["sync", ":metadata", "note.other", "--embedder", "hashing:8"], "no module 'hashing'"),
    ],
)
def test_what_the_command_line_refuses(
    run: Callable[..., Any], models: str, database: Database, arguments: list[str], reason: str
) -> None:
    """
    In words, with exit code 2.
    """
    spelt = [f"{models}{each}" if each.startswith(":") else each for each in arguments]
    done = run("embeddings", *spelt, "--url", database.dsn)
    assert done.exit_code == 2
    assert reason in done.stderr


def test_the_command_of_the_reference(
    run: Callable[..., Any], tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It asks OpenAI's endpoint for vectors of the model that it names.
    """
    path = tmp_path / "reference_models.py"
    path.write_text(REFERENCE)
    names: dict[str, Any] = {}
    exec(REFERENCE, names)
    with database.engine().begin() as connection:
        names["metadata"].create_all(connection)
        connection.execute(sa.insert(names["article"]), [{"id": 1, "title": "Bread"}])
    (command,) = (
        each.text for each in commands_of("reference/command-line") if "sync" in each.text
    )
    asked: list[tuple[str, str]] = []

    def embed(self: OpenAIEmbedder, texts: list[str]) -> list[list[float]]:
        asked.extend((self.url, text) for text in texts)
        return [[1.0, 2.0, 3.0] for _ in texts]

    monkeypatch.setattr(OpenAIEmbedder, "embed", embed)
    words = shlex.split(command.replace("app.models:Base", f"{path}:metadata"))
    done = run(*words[1:], "--url", database.dsn)
    assert "1 embedded by text-embedding-3-small" in done.output
    assert asked == [("https://api.openai.com/v1/embeddings", "Bread")]
