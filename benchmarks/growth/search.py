"""
Search by the number of documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from benchmarks import _documents, search
from benchmarks.growth import ROWS
from benchmarks.measure import Curve, grow

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGRAMS = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"


def curves(engine: sa.Engine) -> Iterator[Curve]:
    """
    The best for a word that most documents have, and corrections.
    """
    metadata = sa.MetaData()
    document = _documents.table(metadata, "document", vocabulary=True)
    ranked, corrected = {}, {}
    for size in ROWS:
        metadata.create_all(engine)
        words = _documents.fill(engine, document, size)
        with engine.connect() as connection:
            ranked[size] = search.top(connection, document, rounds=5 if size > ROWS[0] else 15)
            if connection.exec_driver_sql(TRIGRAMS).scalar_one():
                corrected[size] = search.did_you_mean(connection, document, words)
        metadata.drop_all(engine)
    yield grow("the 20 best for a word in 6 of 10 documents", "documents", ranked)
    if corrected:
        yield grow("corrections of some 25 misspelt words", "titles", corrected)
