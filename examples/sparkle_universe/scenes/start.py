"""
What one create_all made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from models import Base, Group, Post, User
from pgultra import search
from queries.deletion import deletable
from queries.objects import calculate_user_level, made
from rows import content
from stage import scene, table

if TYPE_CHECKING:
    from sqlalchemy import Engine


def start(engine: Engine) -> None:
    """
    Make everything, fill it, and look at it.
    """
    scene(f"{len(Base.metadata.tables)} tables, one create_all")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        content(session)
        for words in (Post.title_words, User.name_words, Group.name_words):
            search.roll_up(session.connection(), words)
    with engine.connect() as connection:
        found = made(connection)
        print(", ".join(f"{number} x {kind}" for kind, number in sorted(found.items())))
        print(f"soft-deleted tables: {len(deletable())}")
        levels = [(given, connection.scalar(calculate_user_level(given))) for given in (0, 1000)]
    table(("calculate_user_level", experience, "is", level) for experience, level in levels)
