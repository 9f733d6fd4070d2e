"""
PostgreSQL's power, declared on SQLAlchemy models.

One declaration feeds ``create_all``, Alembic autogenerate, the drift check and the docs.
Rooms are reached as attributes, ``from pgultra import soft_delete``, and loaded when they
are first asked for: ``import pgultra`` needs SQLAlchemy and nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pgultra.errors import (
    ConflictingObjects,
    DeclarationError,
    DecryptionError,
    DriftError,
    EncryptionError,
    MissingExtension,
    PgultraError,
    PgultraWarning,
    RestoreConflict,
    UnsupportedServer,
)
from pgultra.objects import Check, Extension, Function, Index, Schema, Trigger, View
from pgultra.plan.declare import declare

if TYPE_CHECKING:
    from pgultra.features import embeddings, encryption, partitions, search, soft_delete
    from pgultra.features.embeddings import HNSW, Embedding, IVFFlat, Vector, VectorType
    from pgultra.features.encryption import Encrypted, EncryptedColumn, Equality, KeyRing, Prefix
    from pgultra.features.partitions import ByHash, ByList, ByRange, PartitionedTable
    from pgultra.features.search import SearchVector, TSVector, TSVectorType
    from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions

    __version__: str

__all__ = [
    "HNSW",
    "ByHash",
    "ByList",
    "ByRange",
    "Check",
    "ConflictingObjects",
    "DeclarationError",
    "DecryptionError",
    "DriftError",
    "Embedding",
    "Encrypted",
    "EncryptedColumn",
    "EncryptionError",
    "Equality",
    "Extension",
    "Function",
    "IVFFlat",
    "Index",
    "KeyRing",
    "MissingExtension",
    "PartitionedTable",
    "PgultraError",
    "PgultraWarning",
    "Prefix",
    "RestoreConflict",
    "Schema",
    "SearchVector",
    "SoftDelete",
    "SoftDeleteOptions",
    "TSVector",
    "TSVectorType",
    "Trigger",
    "UnsupportedServer",
    "Vector",
    "VectorType",
    "View",
    "declare",
    "embeddings",
    "encryption",
    "partitions",
    "search",
    "soft_delete",
]

_ROOMS = {
    "embeddings": ("HNSW", "Embedding", "IVFFlat", "Vector", "VectorType"),
    "encryption": ("Encrypted", "EncryptedColumn", "Equality", "KeyRing", "Prefix"),
    "partitions": ("ByHash", "ByList", "ByRange", "PartitionedTable"),
    "search": ("SearchVector", "TSVector", "TSVectorType"),
    "soft_delete": ("SoftDelete", "SoftDeleteOptions"),
}
"""Each room, and the names of it that are reached from here directly."""

_EXTRAS = {"embeddings": "vector", "encryption": "encryption"}
"""What must be installed with pgultra for a room that stands on another library."""

if not TYPE_CHECKING:  # to a type checker, a name that is not listed above is an error
    _room_of = {name: room for room, names in _ROOMS.items() for name in (room, *names)}

    def __getattr__(name):
        if name == "__version__":  # by the installed package, which has it from the tag
            from importlib.metadata import version

            return version("pgultra")
        if name not in _room_of:
            raise AttributeError(f"module 'pgultra' has no attribute {name!r}")
        room = _room_of[name]
        try:
            module = importlib.import_module(f"pgultra.features.{room}")
        except ModuleNotFoundError as error:
            if room not in _EXTRAS or str(error.name).startswith("pgultra"):
                raise
            raise ImportError(
                f"pgultra.{room} needs {error.name}: pip install 'pgultra[{_EXTRAS[room]}]'",
                name=error.name,
            ) from error
        globals()[name] = value = module if name == room else getattr(module, name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
