from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def model() -> dict[str, Any]:
    """
    Run the one Python block of the README, as a module.
    """
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec"), names)
    return names


def test_the_model_does_what_the_readme_says(engine: sa.Engine) -> None:
    """
    The model is complete: it creates, deletes with its comments, and restores them.
    """
    names = model()
    article_class, comment_class, soft_delete = (
        names["Article"],
        names["Comment"],
        names["soft_delete"],
    )
    names["Base"].metadata.create_all(engine)
    with Session(engine) as session:
        article = article_class(slug="a", title="A", comments=[comment_class(body="one")])
        session.add(article)
        session.commit()
        session.delete(article)
        session.commit()
        assert session.scalars(sa.select(article_class)).all() == []
        assert session.scalars(sa.select(comment_class)).all() == []
        soft_delete.restore(session, article)
        session.commit()
        assert len(session.scalars(sa.select(comment_class)).all()) == 1


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
