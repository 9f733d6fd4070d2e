"""
Full-text search that the database keeps.
"""

from __future__ import annotations

from pgultra.features.search.excerpt import headline
from pgultra.features.search.federated import After, Source, federated
from pgultra.features.search.hybrid import hybrid
from pgultra.features.search.model import SearchVector, TSVector, TSVectorType
from pgultra.features.search.parts import Part
from pgultra.features.search.queries import (
    any_word,
    match,
    phrase,
    prefix,
    rank,
    rank_cd,
    understood,
)
from pgultra.features.search.related import Related
from pgultra.features.search.rules import Rules
from pgultra.features.search.runtime import Backfilled, backfill
from pgultra.features.search.top import top
from pgultra.features.search.vocabulary import did_you_mean, roll_up, suggest

__all__ = [
    "After",
    "Backfilled",
    "Part",
    "Related",
    "Rules",
    "SearchVector",
    "Source",
    "TSVector",
    "TSVectorType",
    "any_word",
    "backfill",
    "did_you_mean",
    "federated",
    "headline",
    "hybrid",
    "match",
    "phrase",
    "prefix",
    "rank",
    "rank_cd",
    "roll_up",
    "suggest",
    "top",
    "understood",
]
