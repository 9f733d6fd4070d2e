"""
Raw SQL: the database itself keeps the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage

DELETE = "DELETE FROM comment WHERE line > 1000"
MARK = "UPDATE module SET deleted_at = now() WHERE name LIKE 'email%'"
COUNT = "SELECT count(*) FROM comment WHERE deleted_at IS NOT NULL"


def raw_sql(stage: Stage, engine: Engine) -> None:
    """
    Try a DELETE, then mark modules by hand, as a program in any language might.
    """
    stage.scene("Raw SQL has to obey, too")
    stage.code(DELETE, "postgresql")
    with engine.connect() as connection:
        try:
            connection.execute(text(DELETE))
        except DBAPIError as error:
            stage.answer(str(error.orig).partition("CONTEXT:")[0].strip(), style="yellow")
        connection.rollback()
        stage.say("Marking by hand is fine, and cascades all the way down:")
        stage.code(MARK, "postgresql")
        before = connection.scalar(text(COUNT))
        with stage.timed("marked, and rolled back"):
            modules = connection.execute(text(MARK)).rowcount
            after = connection.scalar(text(COUNT))
            connection.rollback()
        stage.answer(f"{modules} modules, and with them {after - before:,} comments, two tables on")
