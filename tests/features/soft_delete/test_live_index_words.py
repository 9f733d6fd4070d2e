"""
What ``unique_live`` and ``index_live`` say of columns that they cannot take, and how they find one.
"""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, declarative_mixin, mapped_column

import pgultra
from pgultra import DeclarationError, SoftDelete
from pgultra.features.soft_delete import Rules, index_live, unique_live


def names(table: Any) -> list[str]:
    """
    Of the indexes on live rows.
    """
    return sorted(str(index.name) for index in table.indexes if "live" in str(index.name))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unique_live, r"unique_live\(\) names no column: write unique_live\('slug'\)"),
        (index_live, r"index_live\(\) names no column"),
        (
            lambda: unique_live("slug", postgresql_where=sa.text("true")),
            r"unique_live\(postgresql_where=\.\.\.\): the condition is that the row is live",
        ),
        (lambda: unique_live(""), "unique_live"),
        (lambda: unique_live(7), "unique_live"),
    ],
)
def test_what_it_cannot_take(make: Any, words: str) -> None:
    """
    Each word names the function and what to write.
    """
    with pytest.raises(DeclarationError, match=words):
        make()


def test_a_column_that_is_not_there() -> None:
    """
    With the names of those that are.
    """

    class Base(DeclarativeBase):
        pass

    with pytest.raises(DeclarationError, match=r"'slog', which the table does not have; it has id"):

        class Page(SoftDelete, Base):
            __tablename__ = "page"
            __table_args__ = (unique_live("slog"),)
            id: Mapped[int] = mapped_column(primary_key=True)
            slug: Mapped[str]


def test_a_table_without_rules() -> None:
    """
    Said when the objects are asked for: rules may follow.
    """
    metadata = sa.MetaData()
    sa.Table("page", metadata, sa.Column("slug", sa.Text), unique_live("slug"))
    with pytest.raises(DeclarationError, match="needs to know which rows are live"):
        pgultra.plan.collect(metadata)


def test_an_expression_needs_a_name() -> None:
    """
    There are no words to make one of; with a name it is made once.
    """

    class Base(DeclarativeBase):
        pass

    lower = sa.func.lower(sa.text("slug"))
    with pytest.raises(
        DeclarationError, match=r"index_live\(lower\(slug\)\) indexes an expression: give it"
    ):

        class Page(SoftDelete, Base):
            __tablename__ = "page"
            __table_args__ = (index_live(lower),)
            id: Mapped[int] = mapped_column(primary_key=True)
            slug: Mapped[str]

    class Named(DeclarativeBase):
        pass

    class Note(SoftDelete, Named):
        __tablename__ = "note"
        __table_args__ = (index_live(lower, name="note_live_lower"),)
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[str]

    assert names(Note.__table__) == ["note_live_lower"]
    pgultra.plan.collect(Named.metadata)
    assert names(Note.__table__) == ["note_live_lower"]


def test_columns_in_every_form() -> None:
    """
    A name, a mapped column of the class body, a mixin's column, a table's, and an attribute.
    """

    class Base(DeclarativeBase):
        pass

    @declarative_mixin
    class Tagged:
        tag = sa.Column("tag", sa.Text)

    class Page(Tagged, SoftDelete, Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug = mapped_column("slug_of_page", sa.Text)
        title = sa.Column(sa.Text)
        __table_args__ = (
            unique_live(slug),
            unique_live("title"),
            index_live(Tagged.tag),
            index_live("slug", "tag"),
        )

    pgultra.declare(Page, index_live(Page.title, Page.tag))
    assert names(Page.__table__) == [
        "page_live_slug_of_page_key",
        "page_live_slug_of_page_tag_idx",
        "page_live_tag_idx",
        "page_live_title_key",
        "page_live_title_tag_idx",
    ]


def test_a_name_is_made_once_and_a_copy_has_its_own_columns() -> None:
    """
    Two declarations of one name are one index; a copied table names its own column.
    """
    metadata, other = sa.MetaData(), sa.MetaData()
    slug = sa.Column("slug", sa.Text)
    table = sa.Table("page", metadata, sa.Column("id", sa.Integer, primary_key=True), slug)
    pgultra.declare(table, Rules())
    for columns in ((slug,), ("slug", "id")):
        pgultra.declare(table, index_live(*columns, name="page_live"))
    assert names(table) == ["page_live"]
    copy = sa.Table("page", other, sa.Column("id", sa.Integer), sa.Column("slug", sa.Text))
    pgultra.declare(copy, Rules(), index_live(slug))
    [index] = [each for each in copy.indexes if "live" in str(each.name)]
    assert [column.table for column in index.columns] == [copy]
