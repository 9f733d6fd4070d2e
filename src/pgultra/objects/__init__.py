"""
The nouns: what PostgreSQL stores, one kind to a file.

``KINDS`` is the whole wiring. Its order is the order in which objects are made when no
dependency says otherwise, so it reads like a script: a schema before what lives in it,
an extension before the function that calls it, a function before the trigger that runs
it, checks and indexes before views that nobody else needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgultra.objects._advice import Advice
from pgultra.objects._base import DatabaseObject, Identity, Mark, Phase, Scope
from pgultra.objects.check import Check
from pgultra.objects.extension import Extension
from pgultra.objects.function import Function
from pgultra.objects.generation import Generation
from pgultra.objects.index import Index
from pgultra.objects.partitioning import Partitioning
from pgultra.objects.schema import Schema
from pgultra.objects.trigger import Trigger
from pgultra.objects.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "KINDS",
    "Advice",
    "Check",
    "DatabaseObject",
    "Extension",
    "Function",
    "Generation",
    "Identity",
    "Index",
    "Mark",
    "Partitioning",
    "Phase",
    "Schema",
    "Scope",
    "Trigger",
    "View",
]

KINDS: Sequence[type[DatabaseObject]] = (
    Schema,
    Extension,
    Function,
    Generation,
    Index,
    Check,
    View,
    Trigger,
    Partitioning,
)
