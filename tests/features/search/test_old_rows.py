"""
What a migration says of rows that were there before their vector, and that it is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

import pgultra
from pgultra import plan, search
from pgultra.plan.describe import as_text
from tests.features.search.tables import note_table

if TYPE_CHECKING:
    from tests.fixtures.alembic import MigrationEnvironment, Revision


def notes(*parts: str) -> sa.MetaData:
    """
    Notes with a vector of some parts, and the vocabulary of titles.
    """
    metadata = sa.MetaData()
    weights = dict.fromkeys(parts, "A")
    note_table(metadata, weights, mode="trigger", vocabulary=["title"])
    return metadata


def plain() -> sa.MetaData:
    """
    Notes as they were before.
    """
    metadata = sa.MetaData()
    key = sa.Column("id", sa.Integer, primary_key=True)
    texts = sa.Column("title", sa.String(80)), sa.Column("body", sa.Text)
    sa.Table("note", metadata, key, *texts)
    return metadata


def calls(revision: Revision) -> list[str]:
    """
    What its comments tell to call.
    """
    lines = map(str.strip, revision.text.partition("def downgrade")[0].splitlines())
    return [line.removeprefix("# ") for line in lines if line.startswith("# pgultra.")]


def done(engine: sa.Engine, metadata: sa.MetaData, call: str) -> list[int]:
    """
    Do as the comment says; then which rows are found by "fox".
    """
    note = metadata.tables["note"]
    with engine.begin() as connection:
        eval(call, {"pgultra": pgultra, "metadata": metadata, "connection": connection})
        match = search.match(note.c.search, "fox")
        return list(connection.scalars(sa.select(note.c.id).where(match).order_by(note.c.id)))


def test_a_vector_that_comes_later(engine: sa.Engine, alembic_env: MigrationEnvironment) -> None:
    """
    The migration names the call that makes old rows found: after it comes, and when it changes.
    """
    before, titles, both = plain(), notes("title"), notes("title", "body")
    assert calls(alembic_env.autogenerate("one", metadata=before)) == []
    alembic_env.upgrade()
    with engine.begin() as connection:
        note = before.tables["note"]
        rows = [{"id": 1, "title": "fox", "body": ""}, {"id": 2, "title": "", "body": "fox"}]
        connection.execute(note.insert(), rows)
        assert "pgultra.search.backfill(connection, " in as_text(plan.check(connection, titles))
    fill, count = calls(alembic_env.autogenerate("two", metadata=titles))
    alembic_env.upgrade()
    assert done(engine, titles, fill) == [1]
    done(engine, titles, count)
    with engine.connect() as connection:
        rows = connection.execute(search.suggest(titles.tables["note"].c.search, "fo")).all()
        assert [row.word for row in rows] == ["fox"]
    [fill] = calls(alembic_env.autogenerate("three", metadata=both))
    alembic_env.upgrade()
    assert done(engine, both, fill) == [1, 2]
    with engine.connect() as connection:
        assert not plan.check(connection, both)


def test_a_new_table_has_no_old_rows(alembic_env: MigrationEnvironment) -> None:
    """
    Its migration says nothing.
    """
    assert calls(alembic_env.autogenerate("one", metadata=notes("title"))) == []
