"""
What turns texts into vectors: the protocol, and an embedder that needs nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pgultra.plan.options import refused, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Embedder", "HashingEmbedder"]


@runtime_checkable
class Embedder(Protocol):
    """
    Anything with a name, a number of dimensions, and ``embed``.

    An embedder may have ``async def embed_async`` as well; else the async worker runs
    ``embed`` in a thread.

    Attributes:
        model: kept beside each row, so that a change of model is seen.
        dimensions: how many numbers a vector has.

    Example:
        >>> class Constant:
        ...     model, dimensions = "constant", 2
        ...     def embed(self, texts):
        ...         return [[1.0, 0.0] for _ in texts]
        >>> isinstance(Constant(), Embedder)
        True
    """

    model: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> Sequence[Any]:
        """
        One vector for each text, in their order.
        """


_WORD = re.compile(r"\w+")


@lru_cache(maxsize=1 << 17)
def _hash(feature: str) -> int:
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


class HashingEmbedder:
    """
    Feature hashing of words and letter groups: no model, no network, always the same.

    Texts that share words or parts of words come near each other; synonyms do not. It
    serves tests, demos and as a baseline. The signed hashing trick is that of Weinberger et
    al., *Feature Hashing for Large Scale Multitask Learning*, ICML 2009; letter groups with
    word boundaries follow Bojanowski et al., *Enriching Word Vectors with Subword
    Information*, TACL 2017.

    Args:
        dimensions: more of them make fewer words collide.
        letters: lengths of the letter groups; empty for whole words only.

    Raises:
        DeclarationError: an option takes something else.

    Example:
        >>> one, two, other = HashingEmbedder(64).embed(["a red apple", "red apples", "tax law"])
        >>> near = sum(a * b for a, b in zip(one, two))
        >>> far = sum(a * b for a, b in zip(one, other))
        >>> near > 0.4 > far
        True
    """

    def __init__(self, dimensions: int = 384, *, letters: Sequence[int] = (3, 4)) -> None:
        whole("HashingEmbedder", "dimensions", dimensions, 2, 16000)
        if not isinstance(letters, list | tuple):
            raise refused("HashingEmbedder", "letters", letters, "a tuple of lengths, as in (3, 4)")
        for size in letters:
            whole("HashingEmbedder", "letters", size, 1, 100)
        self.dimensions = dimensions
        self.letters = tuple(letters)
        groups = "".join(map(str, self.letters))
        self.model = f"pgultra-hashing-1-{dimensions}-{groups or 'words'}"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """
        One vector of length 1 for each text; a text without a word gets a fixed direction.
        """
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts: dict[str, float] = {}
        for feature, weight in self._features(text):
            counts[feature] = counts.get(feature, 0.0) + weight
        vector = [0.0] * self.dimensions
        for feature, count in counts.items():
            number = _hash(feature)
            sign = 1.0 if number & 1 else -1.0
            vector[(number >> 1) % self.dimensions] += sign * math.log1p(count)
        length = math.hypot(*vector)
        if not length:
            vector[0] = length = 1.0
        return [number / length for number in vector]

    def _features(self, text: str) -> Iterator[tuple[str, float]]:
        for word in _WORD.findall(text.casefold()):
            yield f"w{word}", 1.0
            fenced = f"<{word}>"
            for size in self.letters:
                for start in range(len(fenced) - size + 1):
                    yield f"{size}{fenced[start : start + size]}", 0.25
