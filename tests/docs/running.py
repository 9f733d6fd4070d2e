"""
The blocks of a page by what they are, and its Python run as the module of a host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.docs.follower import COMMANDS
from tests.docs.pages import DOCS, blocks

if TYPE_CHECKING:
    from tests.docs.pages import Block

PRELUDE = """
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger, DateTime, ForeignKey, MetaData, Text, create_engine, delete, false, func, select, text
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import pgultra
from pgultra import *


class Base(DeclarativeBase):
    pass
"""
ARTICLE = """
class Article(SoftDelete, Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
"""
VISIT = """
class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    seen: Mapped[datetime | None]
"""


def python_of(page: str) -> list[str]:
    """
    Give the Python blocks of a page, named from the folder ``docs``.
    """
    return [block.text for block in blocks(DOCS / f"{page}.md") if block.language == "python"]


def text_of(page: str) -> list[str]:
    """
    Give what a page says is printed.
    """
    return [block.text for block in blocks(DOCS / f"{page}.md") if block.language == "text"]


def sql_of(page: str) -> list[str]:
    """
    Give the SQL of a page.
    """
    return [block.text for block in blocks(DOCS / f"{page}.md") if block.language == "sql"]


def yaml_of(page: str) -> list[str]:
    """
    Give the YAML of a page.
    """
    return [block.text for block in blocks(DOCS / f"{page}.md") if block.language == "yaml"]


def commands_of(page: str) -> list[Block]:
    """
    Give the blocks of a page that are commands, for a Follower.
    """
    return [block for block in blocks(DOCS / f"{page}.md") if block.language in COMMANDS]


def run(code: str, names: dict[str, Any]) -> None:
    """
    Run code without this module's annotations from the future.
    """
    exec(compile(code, "host", "exec", dont_inherit=True), names)


def host(**given: Any) -> dict[str, Any]:
    """
    Give the names that a host has imported, and those that are given.
    """
    names: dict[str, Any] = {"__name__": "host"}
    run(PRELUDE, names)
    return names | given
