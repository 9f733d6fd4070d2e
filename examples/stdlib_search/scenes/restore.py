"""
Restoring: exactly the rows that one deletion took, or a clear refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Article, Module
from pgultra import RestoreConflict, soft_delete

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stage import Stage


def restore(stage: Stage, engine: Engine) -> None:
    """
    Restore the module while its name is taken, and then for good.
    """
    stage.scene("Restore: the set that one deletion took")
    with Session(engine) as session:
        stage.say("Meanwhile somebody has made a new module of that name:")
        stage.code("""
            session.add(Module(name="logging", path="new.py"))
            soft_delete.restore(session, old)
        """)
        new = Module(name="logging", path="new.py")
        session.add(new)
        session.commit()
        old = session.scalars(
            soft_delete.only_deleted(select(Module).filter_by(name="logging"))
        ).one()
        try:
            soft_delete.restore(session, old)
        except RestoreConflict as conflict:
            stage.answer(str(conflict), style="yellow")

        stage.say("Nothing was changed. The new one goes, and the old one comes back:")
        stage.code("""
            soft_delete.hard_delete(session, new)
            soft_delete.restore(session, old)
        """)
        soft_delete.hard_delete(session, new)
        with stage.timed("restored"):
            soft_delete.restore(session, old)
            session.commit()
        live = session.scalar(
            select(func.count(Article.id)).join(Module).where(Module.name == "logging")
        )
        rest = session.scalars(soft_delete.only_deleted(select(Article.name)))
        stage.answer(f"{live} articles of logging are live again")
        stage.answer(f"still deleted, by a deletion of its own: {', '.join(rest)}")
