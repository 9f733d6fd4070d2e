"""
The how-to pages, followed to the letter; only ``run()``, which never ends, is ``work()`` here.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pgultra import plan
from pgultra.features.embeddings import (
    EmbeddingWorker,
    HashingEmbedder,
    OpenAIEmbedder,
    Rules,
    VectorType,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("vector")

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
PRELUDE = """
import pgultra
from pgultra import embeddings
from pgultra.features.embeddings import *
from sqlalchemy import ForeignKey, bindparam, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass
"""
ARTICLE = """
class Article(Base):
    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(default="")
    language: Mapped[str] = mapped_column(default="en")
"""


def blocks(page: str) -> Iterator[str]:
    """
    Give the Python of a page.
    """
    text = (PAGES / page).read_text()
    for block in re.findall(r"^ *```python\n(.*?)```", text, re.DOTALL | re.MULTILINE):
        yield textwrap.dedent(block)


def run(code: str, names: dict[str, Any]) -> None:
    """
    Run code as the module of a host, without this module's annotations from the future.
    """
    exec(compile(code.replace(".run()", ".work()"), "host", "exec", dont_inherit=True), names)


@pytest.fixture
def names(engine: sa.Engine) -> dict[str, Any]:
    """
    What a host has imported and at hand.
    """
    given: dict[str, Any] = {"__name__": "host"}
    run(PRELUDE, given)
    return given | {"engine": engine}


def vector(*numbers: float) -> list[float]:
    """
    384 numbers that begin with these.
    """
    return [*numbers, *[0.0] * (384 - len(numbers))]


def test_find_what_is_near(
    engine: sa.Engine, names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Filters, a threshold, more like this, the middle of a group, candidates from elsewhere.
    """
    first, english, close, like, middle, elsewhere, once = blocks("find-what-is-near.md")
    run(first, names)
    names["Base"].metadata.create_all(engine)
    with Session(engine) as session:
        names |= {"session": session, "vector": vector(1, 0), "ids": [3, 5]}
        session.add_all(
            names["Article"](
                id=n,
                title=f"title {n}",
                language="en" if n % 2 else "de",
                embedding=vector(1, n / 10),
            )
            for n in range(12)
        )
        session.commit()
        run(english, names)
        assert capsys.readouterr().out.splitlines()[:2] == ["0.005 title 1", "0.042 title 3"]
        for block, wanted in (
            (close, [1, 3, 5, 7, 9]),
            (like, [8, 6, 9, 5, 10]),
            (middle, [5, 6, 4, 7, 3]),
            (elsewhere, [3, 5]),
        ):
            run(block, names)
            found = [article.id for article, _ in session.execute(names["statement"])]
            assert found == wanted
        run(once, names)
        assert [article.id for article, _ in names["found"]][:3] == [0, 1, 2]
        assert names["recall"](session, names["Article"].embedding, 5) == 1.0


def test_load_vectors_in_bulk(engine: sa.Engine, names: dict[str, Any]) -> None:
    """
    From a generator, and once more with the index built afterwards.
    """
    fragment = "    embedding: Mapped[Vector | None] = Embedding(384)\n"
    run(ARTICLE + fragment, names)
    names["Base"].metadata.create_all(engine)
    load, afterwards, order = blocks("load-vectors-in-bulk.md")
    names["source"] = [(n, f"title {n}", vector(1, n)) for n in range(5)]
    run(load, names)
    names["rows"] = [{"id": n, "title": "t", "embedding": vector(1, n)} for n in range(5, 9)]
    run(afterwards.replace("4GB", "64MB"), names)
    directions = np.eye(384, dtype="f4")[:4]
    given = np.random.default_rng(2).permutation(np.repeat(directions, 100, axis=0))
    names |= {"np": np, "vectors": given, "rows": list(given.argmax(axis=1))}
    run(order, names)
    assert len(names["rows"]) == 400
    assert np.count_nonzero(np.diff(names["rows"])) == 3  # each of the four lies in one piece
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(names["Article"])) == 9
        assert not plan.check(connection, names["Base"].metadata)


def test_keep_embeddings_fresh(
    engine: sa.Engine, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A declaration, a worker, and how it stands.
    """
    hashing = HashingEmbedder(384)
    monkeypatch.setattr(OpenAIEmbedder, "embed", lambda self, texts: hashing.embed(texts))
    fragment, worker, status = blocks("keep-embeddings-fresh.md")
    run(ARTICLE + textwrap.indent(fragment, "    "), names)
    names["Base"].metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(names["Article"](title=f"title {n}") for n in range(3))
        session.commit()
    run(worker, names)
    with engine.connect() as connection:
        run(status, names | {"connection": connection})
        assert names["queue_status"](connection, names["Article"].embedding).embedded == 3


def test_embed_long_texts(
    engine: sa.Engine, names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A chunk table, its worker, and articles by their nearest chunk.
    """
    chunk, worker, search = blocks("embed-long-texts.md")
    run(ARTICLE, names)
    run(chunk, names)
    names["Base"].metadata.create_all(engine)
    names["embedder"] = HashingEmbedder(384)
    with Session(engine) as session:
        for n, word in enumerate(("socket", "parser", "calendar")):
            body = f"Something about a {word}. " * 100
            session.add(names["Article"](id=n, title=word, body=body))
        session.commit()
        run(worker, names)
        [looked_for] = names["embedder"].embed(["a parser"])
        run(search, names | {"session": session, "vector": looked_for})
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[0].split()[1]) == (3, "parser")


def test_change_the_embedding_model(engine: sa.Engine, names: dict[str, Any]) -> None:
    """
    Declare the next version, fill it, search both, switch, and declare what is left.
    """
    fragment, fill, both = blocks("change-the-embedding-model.md")
    old, new = HashingEmbedder(384), HashingEmbedder(768)
    old.model, new.model = "old", "new"
    run(ARTICLE + textwrap.indent(fragment, "    "), names)
    names["Base"].metadata.create_all(engine)
    names |= {"old_embedder": old, "new_embedder": new}
    with Session(engine) as session:
        session.add_all(names["Article"](title=f"title {n}") for n in range(3))
        session.commit()
    with engine.begin() as connection:
        run(fill.split("EmbeddingWorker")[0], names | {"connection": connection})
    column = names["Article"].embedding
    names["following"] = names["next_version"](column)
    run(fill[fill.index("EmbeddingWorker") :], names)
    names |= {"old_vector": old.embed(["title"])[0], "new_vector": new.embed(["title"])[0]}
    run(both, names)
    with engine.begin() as connection:
        for line in both.splitlines():
            assert len(connection.execute(eval(line, names)).all()) == 3
        assert names["queue_status"](connection, names["following"]).done
        assert names["switch"](connection, column) == 3
    after = sa.Table(
        "article",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String),
        sa.Column("body", sa.String),
        sa.Column("embedding", VectorType(768, source=("title", "body"), model="new")),
    )
    names["pgultra"].declare(after, Rules("embedding"))
    assert not EmbeddingWorker(engine, new, after.c.embedding).work()
    with engine.connect() as connection:
        assert {step.verb for step in plan.check(connection, after.metadata)} <= {"drop"}
