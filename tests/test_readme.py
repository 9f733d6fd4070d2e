from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """
    The one Python block of the README, as a module.
    """
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "README.md", "exec"), module.__dict__)
    return module


def test_the_model_does_what_the_readme_says(model: Any, engine: sa.Engine) -> None:
    """
    The model is complete: it creates, deletes with its comments, and restores them.
    """
    model.Base.metadata.create_all(engine)
    with Session(engine) as session:
        article = model.Article(slug="a", title="A", comments=[model.Comment(body="one")])
        session.add(article)
        session.commit()
        session.delete(article)
        session.commit()
        assert session.scalars(sa.select(model.Article)).all() == []
        assert session.scalars(sa.select(model.Comment)).all() == []
        model.soft_delete.restore(session, article)
        session.commit()
        assert len(session.scalars(sa.select(model.Comment)).all()) == 1
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(sa.text("DELETE FROM article"))


def test_the_links_of_the_readme_lead_somewhere() -> None:
    """
    There are four links, each to a page that exists.
    """
    links = re.findall(r"\]\((.*?)\)", README)
    assert len(links) == 4
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_commands_of_the_readme_are_the_promised_ones() -> None:
    """
    Two commands, for who looks and for who works; CI runs these.
    """
    commands = re.findall(r"```console\n(.*?)\n```", README)
    assert commands == [
        "pip install -e '.[demo]' && pgultra demo",
        "pip install -e '.[dev]' && pytest",
    ]
