"""
--embedder: from a name to what turns texts into vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgultra.errors import PgultraError
from pgultra.integrations.cli.target import attribute_of

if TYPE_CHECKING:
    from sqlalchemy import Column

__all__ = ["embedder_for"]

HASHING = "pgultra-hashing-"


def embedder_for(name: str | None, column: Column[Any], base_url: str | None) -> Any:
    """
    The embedder of a column.

    Args:
        name: what the command line says, if anything; else the column's ``model`` tells.
        column: its dimensions count where an embedder can choose.
        base_url: of an endpoint.

    Raises:
        PgultraError: nothing says which one, or it is no embedder.
    """
    from pgultra.features import embeddings

    type_: Any = column.type
    if name is None and (type_.model or "").startswith(HASHING):
        name = "hashing"
    if name is None:
        raise PgultraError(
            f"nothing says what embeds {column}: give --embedder openai:{type_.model or 'MODEL'}, "
            "sentence-transformers:MODEL, hashing, or module:attribute of your own"
        )
    kind, _, rest = name.partition(":")
    if name == "hashing":
        return embeddings.HashingEmbedder(type_.dimensions)
    if kind == "openai":
        place: Any = {} if base_url is None else {"base_url": base_url}
        return embeddings.OpenAIEmbedder(rest, type_.dimensions, **place)
    if kind == "sentence-transformers":
        return embeddings.SentenceTransformerEmbedder(rest)
    found = attribute_of(name)
    if isinstance(found, type) or (callable(found) and not isinstance(found, embeddings.Embedder)):
        found = _made(name, found)
    if not isinstance(found, embeddings.Embedder):
        raise PgultraError(
            f"--embedder {name} is no embedder: it needs model, dimensions and embed(texts)"
        )
    return found


def _made(name: str, make: Any) -> Any:
    try:
        return make()
    except Exception as error:  # whatever the host's own code raises
        raise PgultraError(
            f"--embedder {name}, called without arguments, raised {type(error).__name__}: {error}; "
            "give an embedder, or what makes one by itself"
        ) from error
