"""
Soft delete: rows are marked as deleted, together with what belongs to them, and come back together.

>>> from sqlalchemy import ForeignKey, Integer, String, select
>>> from sqlalchemy.orm import DeclarativeBase, mapped_column, relationship
>>> from pgultra import soft_delete
>>> from pgultra.features.soft_delete import SoftDelete, SoftDeleteOptions

>>> class Base(DeclarativeBase):
...     pass

>>> class Article(SoftDelete, Base):
...     __tablename__ = "article"
...     __soft_delete__ = SoftDeleteOptions(view=True)
...     __table_args__ = (soft_delete.unique_live("slug"),)
...
...     id = mapped_column(Integer, primary_key=True)
...     slug = mapped_column(String(80))
...     comments = relationship("Comment", cascade="all, delete-orphan")

>>> class Comment(SoftDelete, Base):
...     __tablename__ = "comment"
...
...     id = mapped_column(Integer, primary_key=True)
...     article_id = mapped_column(ForeignKey("article.id"))

``session.delete(article)`` marks the article and its comments with one ``deletion_id``,
``restore(session, article)`` brings back exactly these, and ORM statements see live rows
only, unless they say `with_deleted`:

>>> statement = soft_delete.with_deleted(select(Article))
>>> print(select(Article.id).where(soft_delete.alive(Article)))  # doctest: +NORMALIZE_WHITESPACE
SELECT article.id
FROM article
WHERE article.deleted_at IS NULL

The cascade runs in the database, so raw SQL gets it too.
"""

from __future__ import annotations

# For their listeners: cascades are checked, the filter, and what session.delete becomes.
from pgultra.features.soft_delete import configured as _configured  # noqa: F401  # it registers itself
from pgultra.features.soft_delete import filter as _filter  # noqa: F401  # it registers itself
from pgultra.features.soft_delete import flush as _flush  # noqa: F401  # it registers itself
from pgultra.features.soft_delete.findings import Finding, audit
from pgultra.features.soft_delete.indexes import index_live, unique_live
from pgultra.features.soft_delete.model import Rules, SoftDelete, SoftDeleteOptions
from pgultra.features.soft_delete.queries import (
    alive,
    on_conflict_live,
    only_deleted,
    with_deleted,
)
from pgultra.features.soft_delete.removal import Purged, hard_delete, purge
from pgultra.features.soft_delete.runtime import delete, restore

__all__ = [
    "Finding",
    "Purged",
    "Rules",
    "SoftDelete",
    "SoftDeleteOptions",
    "alive",
    "audit",
    "delete",
    "hard_delete",
    "index_live",
    "on_conflict_live",
    "only_deleted",
    "purge",
    "restore",
    "unique_live",
    "with_deleted",
]
