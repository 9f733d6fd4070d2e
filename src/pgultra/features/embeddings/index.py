"""
Index values: what a host writes, and the index that comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float

from pgultra.errors import DeclarationError
from pgultra.plan.options import flag, one_of, whole

__all__ = ["DISTANCE", "HNSW", "METRICS", "IVFFlat", "Metric"]


DISTANCE: Float[float] = Float()
"""The type of a distance; one for all, since SQLAlchemy keeps a type's cache key with it."""


@dataclass(frozen=True)
class Metric:
    """
    One way to measure a distance: its operator, and the name of its operator classes.
    """

    operator: str
    classes: str


METRICS = {
    "cosine": Metric("<=>", "cosine_ops"),
    "l2": Metric("<->", "l2_ops"),
    "inner_product": Metric("<#>", "ip_ops"),
    "l1": Metric("<+>", "l1_ops"),
}


@dataclass(frozen=True, kw_only=True)
class HNSW:
    """
    A graph index: built at any time, kept by PostgreSQL, good recall without tuning.

    Args:
        metric: see ``Embedding``; said here or there.
        m: links of each node; more of them cost memory and find more.
        ef_construction: how hard the build searches.
        concurrently: build it in migrations without blocking writes.

    Raises:
        DeclarationError: an option takes something else, or ``ef_construction`` is less than twice
            ``m``.

    Example:
        >>> HNSW(metric="cosine", m=24).options()
        {'m': 24, 'ef_construction': 64}
    """

    metric: str | None = None
    m: int = 16
    ef_construction: int = 64
    concurrently: bool = False

    def __post_init__(self) -> None:
        if self.metric is not None:
            one_of("HNSW", "metric", self.metric, METRICS)
        whole("HNSW", "m", self.m, 2, 100)
        whole("HNSW", "ef_construction", self.ef_construction, 4, 1000)
        flag("HNSW", concurrently=self.concurrently)
        if self.ef_construction < 2 * self.m:
            raise DeclarationError(
                f"HNSW(m={self.m}, ef_construction={self.ef_construction}): ef_construction must "
                "be twice m at least"
            )

    @property
    def method(self) -> str:
        """
        PostgreSQL's name of it.
        """
        return "hnsw"

    def options(self) -> dict[str, Any]:
        """
        What stands in WITH.
        """
        return {"m": self.m, "ef_construction": self.ef_construction}


@dataclass(frozen=True, kw_only=True)
class IVFFlat:
    """
    An index of lists around centres that are found in the data, so it is built after the load.

    It is never made by ``create_all`` or a migration: centres of an empty table are of no
    use. Call ``embeddings.build_index(connection, Model.embedding)`` once the rows are
    there, and again when they have changed much.

    Args:
        metric: see ``Embedding``; said here or there.
        lists: how many; by default chosen from the number of rows when it is built.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        >>> IVFFlat(metric="l2").lists_for(250_000), IVFFlat().lists_for(4_000_000)
        (250, 2000)
    """

    metric: str | None = None
    lists: int | None = None

    def __post_init__(self) -> None:
        if self.metric is not None:
            one_of("IVFFlat", "metric", self.metric, METRICS)
        if self.lists is not None:
            whole("IVFFlat", "lists", self.lists, 1, 32768)

    @property
    def method(self) -> str:
        """
        PostgreSQL's name of it.
        """
        return "ivfflat"

    def options(self) -> dict[str, Any]:
        """
        What stands in WITH.
        """
        return {} if self.lists is None else {"lists": self.lists}

    def lists_for(self, rows: int) -> int:
        """
        How many lists a table of so many rows wants: pgvector's own advice.
        """
        if self.lists is not None:
            return self.lists
        return max(10, rows // 1000) if rows <= 1_000_000 else round(rows**0.5)
