"""
PostgreSQL's power, declared on SQLAlchemy models.

One declaration feeds ``create_all``, Alembic autogenerate, the drift check and the docs.
Rooms are reached as attributes: ``from pgultra import soft_delete``.
"""

from __future__ import annotations

from pgultra.errors import (
    ConflictingObjects,
    DeclarationError,
    DriftError,
    MissingExtension,
    PgultraError,
    PgultraWarning,
    RestoreConflict,
    UnsupportedServer,
)
from pgultra.objects import Check, Extension, Function, Index, Schema, Trigger, View
from pgultra.plan import declare

__version__ = "0.1.0.dev0"

__all__ = [
    "Check",
    "ConflictingObjects",
    "DeclarationError",
    "DriftError",
    "Extension",
    "Function",
    "Index",
    "MissingExtension",
    "PgultraError",
    "PgultraWarning",
    "RestoreConflict",
    "Schema",
    "Trigger",
    "UnsupportedServer",
    "View",
    "declare",
]
