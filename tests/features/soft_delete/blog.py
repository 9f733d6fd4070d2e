"""
Authors, articles and comments: three tables and a self-reference for the tests of cascades.
"""

from __future__ import annotations

import sqlalchemy as sa

from pgultra.features.soft_delete.shape import Columns
from tests.features.soft_delete.tables import Schema, execute

__all__ = ["Blog", "plant"]

GERMAN = Columns("gelöschtAm", "gelöscht von", "Löschung", flag="ist gelöscht")
Blog = tuple[sa.Connection, sa.Table, sa.Table, sa.Table]


def plant(connection: sa.Connection) -> Blog:
    """
    Make authors, their articles, and comments, which belong to an article and have an answered comment.
    """
    schema = Schema()
    author = schema.table("author")
    article = schema.table(
        "article", sa.Column("author_id", sa.ForeignKey("author.id")), names=GERMAN
    )
    comment = schema.table(
        "comment",
        sa.Column("article_id", sa.ForeignKey("article.id")),
        sa.Column("answers", sa.ForeignKey("comment.id")),
    )
    schema.edge(author, article, id="author_id")
    schema.edge(article, comment, id="article_id")
    schema.edge(comment, comment, id="answers")
    schema.create(connection)
    execute(
        connection,
        "INSERT INTO author VALUES (1), (2)",
        "INSERT INTO article (id, author_id) VALUES (1, 1), (2, 1), (3, 2)",
        "INSERT INTO comment (id, article_id, answers) VALUES (1, 1, NULL), (2, NULL, 1), (3, NULL, 2),"
        " (4, NULL, 3), (5, NULL, 4), (6, 2, NULL), (7, 3, NULL), (8, 3, 6)",
    )
    return connection, author, article, comment
