"""
From source files to rows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from corpus import LIBRARY, docstrings, files, module_name
from models import Article, Comment, Module
from pgultra import embeddings, search

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from stage import Stage

AT_ONCE = 40
PARAGRAPH = "\n\n"


def load(engine: Engine, stage: Stage, embedder: embeddings.Embedder) -> int:
    """
    Store every docstring of the standard library; gives their number.
    """
    paths = files()
    count = 0
    with stage.progress("reading the standard library", len(paths)) as advance:
        for start in range(0, len(paths), AT_ONCE):
            batch = paths[start : start + AT_ONCE]
            modules = [module(path) for path in batch]
            embed([article for each in modules for article in each.articles], embedder)
            with Session(engine) as session, session.begin():
                session.add_all(each for each in modules if each.articles)
                count += sum(len(each.articles) for each in modules)
            advance(len(batch))
    with engine.begin() as connection:
        search.roll_up(connection, Article.search)  # the words that the load has counted
    return count


def embed(articles: list[Article], embedder: embeddings.Embedder) -> None:
    """
    Give each docstring the vector of its name and its first paragraph.
    """
    texts = [
        f"{re.sub(r'[._]+', ' ', each.name)}\n{each.body.partition(PARAGRAPH)[0]}"
        for each in articles
    ]
    for article, vector in zip(articles, embedder.embed(texts), strict=True):
        article.embedding = vector


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
