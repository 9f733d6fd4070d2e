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
    DriftError,
    MissingExtension,
    PgultraError,
    PgultraWarning,
    RestoreConflict,
    UnsupportedServer,
)
from pgultra.objects import Check, Extension, Function, Index, Schema, Trigger, View
from pgultra.plan import declare

if TYPE_CHECKING:
    from pgultra.features import soft_delete as soft_delete
    from pgultra.features.soft_delete import (
        SoftDelete as SoftDelete,
        SoftDeleteOptions as SoftDeleteOptions,
    )

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
    "SoftDelete",
    "SoftDeleteOptions",
    "Trigger",
    "UnsupportedServer",
    "View",
    "declare",
    "soft_delete",
]

_ROOMS = {"soft_delete": ("SoftDelete", "SoftDeleteOptions")}
"""Each room, and the names of it that are reached from here directly."""

if not TYPE_CHECKING:  # to a type checker, a name that is not listed above is an error
    _room_of = {name: room for room, names in _ROOMS.items() for name in (room, *names)}

    def __getattr__(name):
        if name not in _room_of:
            raise AttributeError(f"module 'pgultra' has no attribute {name!r}")
        module = importlib.import_module(f"pgultra.features.{_room_of[name]}")
        globals()[name] = value = module if name == _room_of[name] else getattr(module, name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
