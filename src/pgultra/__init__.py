"""
PostgreSQL's power, declared on SQLAlchemy models.

One declaration feeds ``create_all``, Alembic autogenerate, the drift check and the docs.
Rooms are reached as attributes, ``from pgultra import soft_delete``, and loaded when they
are first asked for: ``import pgultra`` needs SQLAlchemy and nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

ROOMS = {"soft_delete": ("SoftDelete", "SoftDeleteOptions")}
"""Each room, and the names of it that are reached from here directly."""

_ROOM_OF = {name: room for room, names in ROOMS.items() for name in (room, *names)}


def __getattr__(name: str) -> Any:  # a room, or a name of one
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'pgultra' has no attribute {name!r}")
    module = importlib.import_module(f"pgultra.features.{room}")
    value = module if name == room else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
