"""
What bulk statements and relationships use of SQLAlchemy beyond its public API, pinned.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import FromStatement
from sqlalchemy.orm.attributes import AttributeEventToken
from sqlalchemy.sql.visitors import replacement_traverse

from pgultra.features.soft_delete import criteria
from pgultra.features.soft_delete.bulk import PARTS
from tests.features.soft_delete.sample import BLOG

Author, Post, Asset, Picture = BLOG.Author, BLOG.Post, BLOG.Asset, BLOG.Picture


def test_parts_of_writes() -> None:
    """
    Statements keep what they write and return under the names that we rebuild.
    """
    subquery = select(func.count(Post.id)).scalar_subquery()
    for statement, name in (
        (update(Author).where(Author.id == subquery), "_where_criteria"),
        (update(Author).values(id=subquery), "_values"),
        (insert(Author).values([{"id": subquery}]), "_multi_values"),
        (insert(Author).from_select(["id"], select(subquery)), "select"),
        (insert(Author).returning(subquery), "_returning"),
    ):
        part: Any = getattr(statement, name)
        assert name in PARTS
        assert part is not None
        assert len(part if name != "select" else part._raw_columns) > 0
    ordered = update(Author).ordered_values((Author.id, subquery))
    assert getattr(ordered, "_ordered_values", None) or ordered._values
    conflict: Any = upsert(Author).on_conflict_do_update(
        index_elements=["id"], set_={"id": subquery}, where=Author.id == subquery
    )
    clause = conflict._post_values_clause
    assert "_post_values_clause" in PARTS
    assert clause.update_values_to_set
    assert clause.update_whereclause is not None


def test_what_from_statement_wraps() -> None:
    """
    It stands under ``element``; a copy can have another one.
    """
    statement = insert(Author).returning(Author)
    wrapped: Any = select(Author).from_statement(statement)
    assert isinstance(wrapped, FromStatement)
    assert wrapped.element is statement
    assert wrapped.is_dml


def test_a_select_that_is_not_adapted() -> None:
    """
    The annotation keeps aliases out of a SELECT.
    """
    kept = select(Asset.__table__.c.id)._annotate({"no_replacement_traverse": True})
    seen: list[Any] = []
    replacement_traverse(Picture.__table__.c.id.in_(kept), {}, lambda each, **_: seen.append(each))
    assert Picture.__table__.c.id in set(seen)
    assert not any(each is Asset.__table__ for each in seen)


def test_compilation_of_writes() -> None:
    """
    An UPDATE that is compiled says whose rows it writes before it asks for criteria.
    """
    asked: list[Any] = []

    class Asking(criteria.Criterion):
        def process_compile_state(self, compile_state: Any) -> None:
            asked.append(criteria._changed(compile_state))
            super().process_compile_state(compile_state)

    asking = Asking("live", lambda cls: cls.deleted_at.is_(None))
    compiled = str(update(Picture).values(width=1).options(asking).compile(dialect=dialect()))
    assert asked == [sa.inspect(Picture)]
    assert "picture.id IN (SELECT asset.id" in compiled


def test_compilation_of_columns() -> None:
    """
    A SELECT that is compiled has its columns, and the FROM that it falls back to.
    """
    seen: list[Any] = []

    class Looking(criteria.Criterion):
        def process_compile_state(self, compile_state: Any) -> None:
            seen.append(compile_state)
            super().process_compile_state(compile_state)

    looking = Looking("live", lambda cls: cls.deleted_at.is_(None))
    str(select(func.count(Post.id)).options(looking))
    (state,) = seen
    assert [str(each.column) for each in state._entities] == ["count(post.id)"]
    assert state._fallback_from_clauses == [Post.__table__]


def test_events_of_attributes() -> None:
    """
    A set event says which attribute it is about.
    """
    assert isinstance(AttributeEventToken.key, property)
    assert isinstance(sa.inspect(Author(id=1)).committed_state, dict)
