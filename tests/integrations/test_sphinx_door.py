from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pgultra.integrations.sphinx import emitted_sql, markdown
from tests.plan.visits import visits

if TYPE_CHECKING:
    from pathlib import Path

CONF = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parents[0]))
extensions = ["myst_parser", "pgultra.integrations.sphinx"]
"""
MODELS = """
import sqlalchemy as sa
from pgultra import View, declare

metadata = sa.MetaData()
visit = sa.Table("visit", metadata, sa.Column("id", sa.Integer))
declare(visit, View(name="far", query="SELECT id FROM visit"))
"""
PAGES = {
    "index.rst": (
        "Pages\n=====\n\n.. toctree::\n\n   markdown\n\n.. pgultra-sql:: doc_models:visit\n"
    ),
    "markdown.md": "# Markdown\n\n```{pgultra-sql} doc_models:metadata\n:tables:\n```\n",
}


def build(folder: Path, **pages: str) -> subprocess.CompletedProcess[str]:
    """
    Build a small site as text; a warning is an error.
    """
    for name, text in {"conf.py": CONF, "doc_models.py": MODELS, **PAGES, **pages}.items():
        (folder / name).write_text(text)
    command = ["-m", "sphinx", "-q", "-W", "-E", "-b", "text", str(folder), str(folder / "out")]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_directive_shows_what_a_model_emits(tmp_path: Path) -> None:
    """
    In reStructuredText and in MyST: the name of each object, and its SQL.
    """
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "index.txt").read_text()
    assert "**view far**" in page
    assert "CREATE VIEW far AS\n   SELECT id FROM visit;" in page
    assert "CREATE TABLE" not in page
    assert "CREATE TABLE visit" in (tmp_path / "out" / "markdown.txt").read_text()


@pytest.mark.slow
def test_a_wrong_path_fails_the_build(tmp_path: Path) -> None:
    """
    A model that is not there is an error with the directive's argument in it.
    """
    wrong = PAGES["index.rst"].replace("doc_models:visit", "doc_models:visits")
    done = build(tmp_path, **{"index.rst": wrong})
    assert done.returncode != 0
    assert "pgultra-sql doc_models:visits" in done.stderr


def test_markdown_is_the_same_without_sphinx() -> None:
    """
    A fenced block under each name, and the SQL of the plain function in it.
    """
    text = markdown(visits())
    assert "**trigger seen on visit**\n\n```sql\nCREATE TRIGGER seen BEFORE" in text
    for block in emitted_sql(visits()).split("\n\n"):
        assert block in text
