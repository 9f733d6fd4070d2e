"""
One row to embed, and what an embedder gives for several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgultra.errors import PgultraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Job", "texts_of", "vectors_for"]


@dataclass(frozen=True, slots=True)
class Job:
    """
    One row to embed: its key, its text, and the hash of this very text.

    A hidden one waits, and the role that asks cannot read it: row security.
    """

    key: tuple[Any, ...]
    text: str
    hash: bytes
    attempts: int
    hidden: bool = False


def texts_of(jobs: Sequence[Job]) -> list[str]:
    """
    What the embedder gets: texts without a letter are left out.
    """
    return [job.text for job in jobs if job.text.strip()]


def vectors_for(
    jobs: Sequence[Job], made: Sequence[Any], model: str, packer: Callable[[Any], Any]
) -> list[Any]:
    """
    A vector for each job: None where there is no text; the rest as the column takes it.

    Raises:
        PgultraError: there are more or fewer than texts, or None for a text.
        InvalidVector: the column cannot hold one.
    """
    wanted = len(texts_of(jobs))
    if len(made) != wanted:
        raise PgultraError(f"the embedder {model} gave {len(made)} vectors for {wanted} texts")
    waiting = iter(made)
    vectors: list[Any] = []
    for job in jobs:
        if not job.text.strip():
            vectors.append(None)
            continue
        vector = next(waiting)
        if vector is None:
            raise PgultraError(
                f"the embedder {model} gave None for a text: let it raise where it has no vector"
            )
        packer(vector)
        vectors.append(vector)
    return vectors
