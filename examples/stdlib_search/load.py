"""
From source files to rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from corpus import LIBRARY, docstrings, files, module_name
from models import Article, Comment, Module

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from stage import Stage

AT_ONCE = 40


def load(engine: Engine, stage: Stage) -> int:
    """
    Store every docstring of the standard library; gives their number.
    """
    paths = files()
    count = 0
    with stage.progress("reading the standard library", len(paths)) as advance:
        for start in range(0, len(paths), AT_ONCE):
            batch = paths[start : start + AT_ONCE]
            modules = [module(path) for path in batch]
            with Session(engine) as session, session.begin():
                session.add_all(each for each in modules if each.articles)
                count += sum(len(each.articles) for each in modules)
            advance(len(batch))
    return count


def module(path: Path) -> Module:
    """
    One file as objects.
    """
    return Module(
        name=module_name(path),
        path=str(path.relative_to(LIBRARY)),
        articles=[
            Article(
                name=each.name,
                kind=each.kind,
                line=each.line,
                body=each.text,
                comments=[Comment(line=line, body=body) for line, body in each.comments],
            )
            for each in docstrings(path)
        ],
    )
