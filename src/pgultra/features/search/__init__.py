"""
Full-text search that the database keeps.
"""

from __future__ import annotations

from pgultra.features.search.model import SearchVector, TSVector, TSVectorType
from pgultra.features.search.parts import Part
from pgultra.features.search.related import Related
from pgultra.features.search.rules import Rules

__all__ = [
    "Part",
    "Related",
    "Rules",
    "SearchVector",
    "TSVector",
    "TSVectorType",
]
