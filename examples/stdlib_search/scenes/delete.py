"""
A soft delete: one call, the whole tree, one deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Article, Comment, Module
from pgultra import soft_delete

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage


def delete(stage: Stage, engine: Engine) -> None:
    """
    Delete one article, then the module that it is in.
    """
    stage.scene("A soft delete, and what goes along")
    with Session(engine) as session:
        stage.code("""
            session.delete(article)  # logging.getLogger
            session.commit()
            session.delete(module)   # logging, a little later
            session.commit()
        """)
        article = session.scalars(select(Article).filter_by(name="logging.getLogger")).one()
        session.delete(article)
        session.commit()
        module = session.scalars(select(Module).filter_by(name="logging")).one()
        before = counts(session)
        with stage.timed("the module, with its cascade"):
            session.delete(module)
            session.commit()
        after = counts(session)
        stage.table(
            ("table", "live before", "live after", "gone along"),
            [
                (model.__tablename__, before[model], after[model], before[model] - after[model])
                for model in before
            ],
        )
        stage.say("The rows are there, and each knows the deletion that took it:")
        stage.code("""
            soft_delete.only_deleted(
                select(Article.deletion_id, func.count()).group_by(Article.deletion_id)
            )
        """)
        deletions = select(Article.deletion_id, func.count()).group_by(Article.deletion_id)
        found = session.execute(soft_delete.only_deleted(deletions).order_by(func.count()))
        stage.table(("deletion_id", "articles"), [tuple(row) for row in found])


def counts(session: Session) -> dict[type, int]:
    """
    How many rows an ordinary query sees.
    """
    return {
        model: session.scalar(select(func.count()).select_from(model)) or 0
        for model in (Module, Article, Comment)
    }
