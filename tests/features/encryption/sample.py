"""
The encryption room's sample for the laws; ``TABLES`` for the page of its SQL.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pgultra.features.encryption import Encrypted, Equality, KeyRing, Prefix

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = KeyRing("sample", {1: bytes(range(32)), 2: bytes(range(100, 132))})


def build(schema: str | None = None, name: Callable[[str], str] = str) -> sa.MetaData:
    """
    A table with every kind of search, and a column bound to its row.
    """
    metadata = sa.MetaData()
    unique = Equality(normalize="casefold", unique=True, keys=(1, 2))
    sa.Table(
        name("person"),
        metadata,
        sa.Column(name("id"), sa.Uuid, primary_key=True),
        sa.Column(name("tenant"), sa.Integer, nullable=False),
        sa.Column(name("email"), Encrypted(sa.String, KEYS, search=unique), nullable=False),
        sa.Column(name("surname"), Encrypted(sa.String(60), KEYS, search=Prefix(3))),
        sa.Column(name("city"), Encrypted(sa.String, KEYS, search=Equality(bits=12))),
        sa.Column(name("iban"), Encrypted(sa.String, KEYS, context=(name("tenant"), name("id")))),
        sa.Column(name("born"), Encrypted(sa.Date, KEYS, padding=32, index_keys=False)),
        schema=schema,
    )
    return metadata


TABLES = SimpleNamespace(**build().tables)
