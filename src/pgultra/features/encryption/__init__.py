"""
Encrypted columns: authenticated, searchable, rotatable.

>>> from sqlalchemy import Column, Integer, MetaData, String, Table, select
>>> keys = KeyRing("tour", {1: bytes(range(32))})
>>> person = Table(
...     "person", MetaData(), Column("id", Integer, primary_key=True),
...     Column("email", Encrypted(String, keys, search=Equality(normalize="casefold"))),
... )
>>> person.c.email
Column('email', Encrypted(String(), KeyRing('tour')), table=<person>)

Values are sealed in Python: the database, its logs and its backups see ciphertexts and
keyed hashes only. ``person.c.email == "Ann@Example.com"`` asks the blind index.
"""

from __future__ import annotations

from pgultra.features.encryption.adoption import Adopted, adopt, verify
from pgultra.features.encryption.column import EncryptedColumn
from pgultra.features.encryption.comparator import blind_index
from pgultra.features.encryption.finding import find
from pgultra.features.encryption.keys import KeyProvider, KeyRing
from pgultra.features.encryption.legacy import FernetText, PgcryptoColumn
from pgultra.features.encryption.model import Encrypted
from pgultra.features.encryption.quarantine import Quarantined
from pgultra.features.encryption.results import binary_results
from pgultra.features.encryption.rotation import Rotated, rekey, rotate
from pgultra.features.encryption.search import Equality, Prefix, expected_matches
from pgultra.features.encryption.subjects import SubjectKeys
from pgultra.features.encryption.usage import KeyUsage, key_usage

__all__ = [
    "Adopted",
    "Encrypted",
    "EncryptedColumn",
    "Equality",
    "FernetText",
    "KeyProvider",
    "KeyRing",
    "KeyUsage",
    "PgcryptoColumn",
    "Prefix",
    "Quarantined",
    "Rotated",
    "SubjectKeys",
    "adopt",
    "binary_results",
    "blind_index",
    "expected_matches",
    "find",
    "key_usage",
    "rekey",
    "rotate",
    "verify",
]
