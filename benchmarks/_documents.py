"""
The documents that search is measured with: made-up words, the same each time.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pgultra.features import search
from pgultra.features.search import TSVectorType

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = int(os.environ.get("PGULTRA_BENCH_DOCUMENTS", "200000"))
WORDS = 30_000
LENGTH = 100
"""Words of a body."""
SYLLABLES = (  # noqa: SIM905  # a list of fifty lines says no more
    "an er in on al st re th ou tion com pro de ing ment ra li ta mo ex ver ble ness cal phy gra "
    "bio log ter mar ke su pi lo ne ca do vi ha ti fra glo mis tre pla cor den sul wim jax"
).split()
PARTS = {"title": "A", "body": "B"}


def table(
    metadata: sa.MetaData,
    name: str,
    *,
    vector: bool = True,
    fillfactor: int = 100,
    **options: Any,
) -> sa.Table:
    """
    A table of documents, with or without a vector.
    """
    columns = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("views", sa.Integer, server_default="0"),
        sa.Column("updated_at", sa.DateTime),
    ]
    if vector:
        columns.append(sa.Column("search", TSVectorType(PARTS, config="english", **options)))
    storage = {"postgresql_with": {"fillfactor": fillfactor}}
    return sa.Table(name, metadata, *columns, **storage)


def vocabulary_of(size: int) -> list[str]:
    """
    Made-up words, the same each time.
    """
    chance = random.Random(1)
    found: dict[str, None] = {}
    while len(found) < size:
        found["".join(chance.choices(SYLLABLES, k=chance.choice((2, 3, 3, 3, 4))))] = None
    return list(found)


def documents(words: list[str], count: int, length: int) -> Iterator[tuple[int, str, str]]:
    """
    Titles and bodies, with a few frequent words and many rare ones.
    """
    chance = random.Random(3)
    for number in range(1, count + 1):
        title = (words[int(chance.random() ** 2 * len(words))] for _ in range(6))
        body = [words[int(chance.random() ** 4 * len(words))] for _ in range(length)]
        if chance.random() < 0.6:
            body += ["common"] * chance.randint(1, 4)
        yield number, " ".join(title), " ".join(body)


def copy(connection: sa.Connection, target: str, rows: Iterator[tuple[int, str, str]]) -> None:
    """
    Load documents.
    """
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {target} (id, title, body) FROM STDIN") as target_rows:
        for row in rows:
            target_rows.write_row(row)


def fill(engine: sa.Engine, document: sa.Table, count: int = DOCUMENTS) -> list[str]:
    """
    Load documents into an empty table; gives the words that they are made of.
    """
    words = vocabulary_of(WORDS)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX document_search_gin")
        copy(connection, "document", documents(words, count, LENGTH))
        connection.exec_driver_sql(
            "CREATE INDEX document_search_gin ON document USING gin (search)"
        )
        if "document_search_words" in document.metadata.tables:
            search.roll_up(connection, document.c.search)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return words
