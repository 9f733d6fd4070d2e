"""
The search room's sample for the laws; ``TABLES`` for the page of its SQL.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from pgultra.features.search import Part, Related, TSVectorType

if TYPE_CHECKING:
    from collections.abc import Callable


def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:
    """
    A table with a generated vector; one kept by triggers, with texts of two other tables.
    """
    metadata = sa.MetaData()
    sa.Table(
        name("page"),
        metadata,
        sa.Column(name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(name("title"), sa.String(80)),
        sa.Column(name("body"), sa.Text),
        sa.Column(name("content"), JSONB),
        sa.Column(
            name("words"),
            TSVectorType(
                {name("title"): "A", name("body"): Part("B", budget=9_000), name("content"): "D"},
                config="english",
                vocabulary=True,
            ),
        ),
        schema=schema,
    )
    article = sa.Table(
        name("article"),
        metadata,
        sa.Column(name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(name("title"), sa.Text),
        sa.Column(name("keywords"), ARRAY(sa.Text)),
        sa.Column(name("language"), sa.Text),
        schema=schema,
    )
    label = sa.Table(
        name("label"),
        metadata,
        sa.Column(name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(name("name"), sa.Text),
        schema=schema,
    )
    link = sa.Table(
        name("link"),
        metadata,
        sa.Column(name("article"), sa.ForeignKey(article.c[name("id")]), primary_key=True),
        sa.Column(name("label"), sa.ForeignKey(label.c[name("id")]), primary_key=True),
        schema=schema,
    )
    remark = sa.Table(
        name("remark"),
        metadata,
        sa.Column(name("id"), sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(name("article"), sa.ForeignKey(article.c[name("id")])),
        sa.Column(name("text"), sa.Text),
        schema=schema,
    )
    article.append_column(
        sa.Column(
            name("words"),
            TSVectorType(
                {
                    name("title"): "A",
                    name("keywords"): "B",
                    Related(label.c[name("name")], through=link): "C",
                    Related(remark.c[name("text")]): "D",
                },
                config={"de": "german", None: "english"},
                language_column=name("language"),
            ),
        )
    )
    return metadata


TABLES = SimpleNamespace(**build().tables)
