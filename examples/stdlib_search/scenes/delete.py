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
        stage.code(
            "session.delete(article)   # json.dumps\nsession.delete(module)    # json, later"
        )
        session.delete(session.scalars(select(Article).filter_by(name="json.dumps")).one())
        session.commit()
        module = session.scalars(select(Module).filter_by(name="json")).one()
        before = counts(session)
        with stage.timed("the second one, with its cascade"):
            session.delete(module)
            session.commit()
        after = counts(session)
        rows = [
            (model.__tablename__, before[model], after[model], before[model] - after[model])
            for model in before
        ]
        stage.table(("table", "live before", "live after", "gone along"), rows)
        deletions = select(Article.deletion_id, func.count()).group_by(Article.deletion_id)
        found = session.execute(soft_delete.only_deleted(deletions).order_by(func.count())).all()
        stage.say("The rows are there, each with the id of the deletion that took it:")
        stage.code("select(Article.deletion_id, func.count()).group_by(Article.deletion_id)")
        stage.table(("deletion_id", "articles"), [tuple(row) for row in found])


def counts(session: Session) -> dict[type, int]:
    """
    How many rows an ordinary query sees.
    """
    return {
        model: session.scalar(select(func.count()).select_from(model)) or 0
        for model in (Module, Article, Comment)
    }
